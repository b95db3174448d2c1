import { type DataSource } from 'typeorm';
import { releaseJournal } from '../agent-contract/index.js';
import { isProblem } from '../kernel/errors/problem.js';
import { type Logger } from '../kernel/logging/logger.js';
import { type HostLink } from './host-link.js';

interface Parts {
  readonly dataSource: DataSource;
  readonly links: HostLink;
  readonly log: Logger;
}

const EVERY_MS = 30_000;
/** An operation that was called for less long ago may not have written down that it ended. */
const SETTLED_AFTER_MS = 10_000;
const MOST_AT_ONCE = 1_000;
const MOST_REMEMBERED = 100_000;

/**
 * Lets agents drop from their journals what is recorded here. What a replica forgets when it is restarted, an agent
 * drops by itself after some days: this keeps journals small, nothing depends on it.
 */
export class JournalRelease {
  private readonly called = new Map<string, Map<string, number>>();
  private remembered = 0;
  private timer: NodeJS.Timeout | undefined;
  private running: Promise<void> | null = null;

  constructor(private readonly parts: Parts) {}

  /** A write of this operation was answered by this host. */
  note(hostId: string, operationId: string): void {
    if (this.remembered >= MOST_REMEMBERED) return;
    const operations = this.called.get(hostId) ?? new Map<string, number>();
    this.called.set(hostId, operations);
    if (!operations.has(operationId)) this.remembered += 1;
    operations.set(operationId, performance.now());
  }

  start(): void {
    this.timer = setInterval(() => {
      this.running ??= this.run().finally(() => (this.running = null));
    }, EVERY_MS);
  }

  async stop(): Promise<void> {
    clearInterval(this.timer);
    await this.running;
  }

  /** Releases what has ended and was last called for `settledAfterMs` ago or earlier. Never rejects. */
  async run(settledAfterMs = SETTLED_AFTER_MS): Promise<void> {
    for (const [hostId, operations] of this.called) {
      const before = performance.now() - settledAfterMs;
      const old = [...operations].filter(([, at]) => at <= before).map(([id]) => id);
      try {
        await this.release(hostId, operations, old.slice(0, MOST_AT_ONCE));
      } catch (error) {
        if (!isProblem(error)) this.parts.log.warn({ err: error, hostId }, 'a journal was not released');
      }
    }
  }

  private async release(hostId: string, operations: Map<string, number>, ids: string[]): Promise<void> {
    if (ids.length === 0) return;
    const open = await this.parts.dataSource.query<{ id: string }[]>(
      `select id from operation where id = any($1::uuid[]) and state not in ('succeeded', 'failed', 'cancelled')`,
      [ids],
    );
    const stillOpen = new Set(open.map(({ id }) => id));
    const ended = ids.filter((id) => !stillOpen.has(id));
    if (ended.length === 0) return;
    await this.parts.links.call(hostId, releaseJournal, { operationIds: ended });
    for (const id of ended) if (operations.delete(id)) this.remembered -= 1;
    if (operations.size === 0) this.called.delete(hostId);
  }
}
