import { type Client } from './client.js';

/** Which operations have ended, as the event stream tells it. */
export class OperationWatch {
  private readonly ended = new Map<string, string>();
  private look: () => void = () => undefined;
  private end: () => void = () => undefined;

  static async open(client: Client): Promise<OperationWatch> {
    const watch = new OperationWatch();
    watch.end = await client.follow(({ type, object, changes }) => {
      if (type !== 'operation.ended') return;
      watch.ended.set(object.id, JSON.stringify(changes));
      watch.look();
    });
    return watch;
  }

  /** Resolves when each of them has succeeded; one that ended otherwise is an error. One caller at a time. */
  succeeded(ids: readonly string[], deadlineMs = 120_000): Promise<void> {
    return new Promise((resolve, reject) => {
      const late = setTimeout(
        () => reject(new Error(`Not all of ${ids.length} operations ended within ${deadlineMs} ms.`)),
        deadlineMs,
      );
      const done = (error?: Error): void => {
        clearTimeout(late);
        this.look = () => undefined;
        this.ended.clear();
        if (error) reject(error);
        else resolve();
      };
      this.look = () => {
        if (this.ended.size < ids.length || !ids.every((id) => this.ended.has(id))) return;
        const bad = ids.find((id) => !this.ended.get(id)?.includes('"succeeded"'));
        done(bad === undefined ? undefined : new Error(`Operation ${bad} ended: ${this.ended.get(bad)}`));
      };
      this.look();
    });
  }

  close(): void {
    this.end();
  }
}
