import { type Client } from './client.js';

const deadlineMs = 60_000;

/** One domain's state, as the event stream tells it. */
export class DomainWatch {
  private readonly waiting = new Map<string, () => void>();
  private end: () => void = () => undefined;

  private constructor(readonly domainId: string) {}

  static async open(client: Client, domainId: string): Promise<DomainWatch> {
    const watch = new DomainWatch(domainId);
    watch.end = await client.follow(({ object, changes }) => {
      if (object.type === 'domain' && object.id === domainId && typeof changes['state'] === 'string') {
        watch.waiting.get(changes['state'])?.();
      }
    });
    return watch;
  }

  /** Resolves with the next event that says so. */
  until(state: string): Promise<void> {
    return new Promise((resolve, reject) => {
      const late = setTimeout(() => reject(new Error(`No event said ${state} in time.`)), deadlineMs);
      this.waiting.set(state, () => {
        clearTimeout(late);
        this.waiting.delete(state);
        resolve();
      });
    });
  }

  close(): void {
    this.end();
  }
}
