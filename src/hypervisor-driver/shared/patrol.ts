/** Walks again and again, never two walks at once: on a slow disk the second would cut the same log again. Keeps no process alive. */
export class Patrol {
  private timer: NodeJS.Timeout | null = null;
  private walking = false;

  constructor(
    private readonly everyMs: number,
    private readonly walk: () => Promise<void>,
  ) {}

  begin(): void {
    this.timer ??= setInterval(() => {
      if (this.walking) return;
      this.walking = true;
      void this.walk().finally(() => (this.walking = false));
    }, this.everyMs).unref();
  }

  end(): void {
    if (this.timer) clearInterval(this.timer);
    this.timer = null;
  }
}
