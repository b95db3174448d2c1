/** Lets those who wait for the end of an operation look again: at once when it ended in this process, else now and then. */
export class Endings {
  private readonly waiting = new Map<string, Set<() => void>>();

  constructor(private readonly lookEveryMs: number) {}

  told(operationId: string): void {
    for (const look of this.waiting.get(operationId) ?? []) look();
  }

  /** Resolves when it is time to look; rejects with the signal's reason. */
  next(operationId: string, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      signal.throwIfAborted();
      const others = this.waiting.get(operationId) ?? new Set();
      this.waiting.set(operationId, others);
      const leave = (): void => {
        clearTimeout(timer);
        signal.removeEventListener('abort', abort);
        others.delete(look);
        if (others.size === 0 && this.waiting.get(operationId) === others) this.waiting.delete(operationId);
      };
      const look = (): void => {
        leave();
        resolve();
      };
      const abort = (): void => {
        leave();
        reject(signal.reason as Error);
      };
      const timer = setTimeout(look, this.lookEveryMs);
      signal.addEventListener('abort', abort, { once: true });
      others.add(look);
    });
  }
}
