/**
 * The writes that have begun to act and have not really stopped: whoever asked may have given up, or been told that a
 * force-off came first.
 */
export class Acting<Write> {
  private readonly acts = new Map<Write, Promise<void>>();

  async run<T>(write: Write, act: () => Promise<T>): Promise<T> {
    const acting = act();
    const over = acting.then(
      () => undefined,
      () => undefined,
    );
    this.acts.set(write, over);
    try {
      return await acting;
    } finally {
      this.acts.delete(write);
    }
  }

  has(write: Write): boolean {
    return this.acts.has(write);
  }

  /** Resolves when those that fit by now have stopped. Whoever asks has seen to it that no more of them begin. */
  async over(fits: (write: Write) => boolean): Promise<void> {
    await Promise.all([...this.acts].filter(([write]) => fits(write)).map(([, over]) => over));
  }
}
