import { type DataSource } from 'typeorm';
import { type Logger } from '../kernel/logging/logger.js';
import { type HostConnections } from './connections.js';
import { presentSql } from '../kernel/operations/presence.js';
import { type Replica } from '../kernel/operations/replica.js';
import { type InventorySink } from './host-link.js';
import { StreamReader } from './stream-reader.js';

interface Parts {
  readonly dataSource: DataSource;
  readonly connections: HostConnections;
  readonly sink: InventorySink;
  readonly replica: Replica;
  readonly log: Logger;
}

const LEASE_MS = 15_000;
/** Renewed when less than this is left. */
const RENEW_BELOW_MS = 10_000;
const TICK_MS = 1_000;

interface Owned {
  readonly reader: StreamReader;
  epoch: number;
  address: string;
  /** By this process's monotonic clock, and never later than what the database believes. */
  until: number;
}

/**
 * Reads the state streams of the hosts that this replica owns. The lease is in the host's row, so of all replicas with
 * the role `link` one at a time writes what a host says. The streams of a replica that died are taken over at once; its
 * lease only bounds one that hangs.
 */
export class StateStreams {
  private readonly owned = new Map<string, Owned>();
  private timer: NodeJS.Timeout | undefined;
  private ticking: Promise<void> | null = null;
  /** The next look, while one is under way. */
  private waiting: Promise<void> | null = null;
  private stopped = false;

  constructor(private readonly parts: Parts) {}

  start(): void {
    this.timer = setInterval(() => void this.wake(), TICK_MS);
    void this.wake();
  }

  /** Looks for new hosts now rather than within a second: after an enrolment. Resolves when it has looked; never rejects. */
  wake(): Promise<void> {
    if (this.stopped) return Promise.resolve();
    const before = this.ticking ?? Promise.resolve();
    if (this.waiting) return this.waiting;
    this.waiting = before.then(() => {
      this.waiting = null;
      if (this.stopped) return;
      this.ticking = this.tick().catch((error: unknown) =>
        this.parts.log.warn({ err: error }, 'the leases of state streams were not renewed'),
      );
      return this.ticking;
    });
    return this.waiting;
  }

  /** Gives every lease back, so that another replica goes on at once. */
  async stop(): Promise<void> {
    this.stopped = true;
    clearInterval(this.timer);
    await this.waiting;
    await this.ticking;
    await Promise.all([...this.owned.values()].map(({ reader }) => reader.stop()));
    this.owned.clear();
    await this.parts.dataSource.query(
      'update host set stream_owner = null, stream_until = null where stream_owner = $1',
      [this.parts.replica.id],
    );
  }

  private async tick(): Promise<void> {
    const { dataSource, replica } = this.parts;
    const asked = performance.now();
    await dataSource.query(
      `update host set stream_owner = $1, stream_until = now() + make_interval(secs => $2)
       where id in (
         select id from host
         where stream_owner is null or stream_until is null or stream_until < now()
            or (stream_owner = $1 and stream_until < now() + make_interval(secs => $3))
            or ($4 and stream_owner <> $1 and not ${presentSql('stream_owner')})
         for update skip locked)`,
      [replica.id, LEASE_MS / 1000, RENEW_BELOW_MS / 1000, replica.canJudge()],
    );
    const rows = await dataSource.query<{ id: string; epoch: number; address: string; left_ms: number }[]>(
      `select id, epoch, address, extract(epoch from stream_until - now())::float8 * 1000 as left_ms
       from host where stream_owner = $1 and stream_until > now()`,
      [replica.id],
    );
    if (this.stopped) return;
    const mine = new Set(rows.map((row) => row.id));
    for (const [hostId, { reader }] of this.owned)
      if (!mine.has(hostId)) {
        this.owned.delete(hostId);
        void reader.stop();
      }
    for (const row of rows) this.keep(row, asked + row.left_ms);
  }

  private keep(row: { id: string; epoch: number; address: string }, until: number): void {
    const { id: hostId, epoch, address } = row;
    const known = this.owned.get(hostId);
    if (!known) {
      const entry: Owned = { reader: this.read(hostId), epoch, address, until };
      this.owned.set(hostId, entry);
      return;
    }
    known.until = until;
    if (known.epoch === epoch && known.address === address) return;
    known.epoch = epoch;
    known.address = address;
    this.parts.connections.disconnect(hostId);
  }

  private read(hostId: string): StreamReader {
    const { connections, sink, log } = this.parts;
    return new StreamReader({
      hostId,
      connect: () => connections.connection(hostId),
      sink,
      owned: () => (this.owned.get(hostId)?.until ?? 0) > performance.now(),
      log,
      // An agent that restarts is back within a second; one that stays away is asked for more rarely.
      backoffMs: (failures) =>
        Math.min(50 * 2 ** failures, failures < 60 ? 800 : 5_000) * (0.5 + Math.random() / 2),
    });
  }
}
