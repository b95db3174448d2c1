import { isDeepStrictEqual } from 'node:util';
import {
  type Capability,
  type HostFacts,
  type ObservedDomain,
  programVersion,
  type StateFrame,
} from '../../agent-contract/index.js';
import { type HypervisorDriver } from '../../hypervisor-driver/driver.js';
import { type StorageBackend } from '../../storage-backend/backend.js';
import { type Machine } from './machine.js';

interface Change {
  readonly facts: HostFacts | null;
  readonly domains: ObservedDomain[];
  readonly forgotten: string[];
  readonly storageChanged?: string[];
}
type Listener = (change: Change) => void;

/** Longer than an answer takes: the server then finds that it knows already, and has nothing to write. */
const FLUSH_AFTER_MS = 20;

interface Parts {
  readonly driver: HypervisorDriver;
  /** Each that this machine can serve is announced as the capability `storage.<kind>`. */
  readonly backends: Readonly<Record<string, Pick<StorageBackend, 'kind' | 'offered'>>>;
  readonly machine: () => Promise<Machine>;
  /** How often an empty delta says that the agent lives. */
  readonly heartbeatMs: number;
  /** How often all of it is said again, at least. */
  readonly resyncMs: number;
  readonly now?: () => Date;
}

/** What the host is and runs now, for any number of state streams at once. */
export class Inventory {
  private facts: HostFacts | null = null;
  private readonly listeners = new Set<Listener>();
  private readonly changed = new Map<string, ObservedDomain>();
  private readonly forgotten = new Set<string>();
  private readonly storageChanged = new Set<string>();
  private flushing: NodeJS.Timeout | undefined;
  private readonly stopWatching: () => void;

  constructor(private readonly parts: Parts) {
    this.stopWatching = parts.driver.onChange((domain) => {
      this.forgotten.delete(domain.id);
      this.changed.set(domain.id, domain);
      this.flushSoon();
    });
  }

  /** Asks the hypervisor and the machine, and tells the streams if something is new. */
  async refreshFacts(): Promise<HostFacts> {
    const [fingerprint, machine, storage] = await Promise.all([
      this.parts.driver.fingerprint(),
      this.parts.machine(),
      this.storage(),
    ]);
    const facts: HostFacts = {
      ...machine,
      agentVersion: programVersion,
      hypervisor: fingerprint.hypervisor,
      capabilities: [...fingerprint.capabilities, ...storage],
    };
    if (this.facts && !isDeepStrictEqual(this.facts, facts)) this.tell({ facts, domains: [], forgotten: [] });
    this.facts = facts;
    return facts;
  }

  private async storage(): Promise<Capability[]> {
    const all = Object.values(this.parts.backends);
    const offered = await Promise.all(all.map((backend) => backend.offered()));
    return all
      .filter((_, index) => offered[index])
      .map(({ kind }) => ({ name: `storage.${kind}`, support: 'supported' as const }));
  }

  forget(domainId: string): void {
    this.changed.delete(domainId);
    this.forgotten.add(domainId);
    this.flushSoon();
  }

  /** Volumes came or went in the repository: whoever listens may ask which. */
  noteStorageChanged(repositoryId: string): void {
    this.storageChanged.add(repositoryId);
    this.flushSoon();
  }

  /**
   * Sends a snapshot, then what changes, then an empty delta whenever nothing did for a while; and now and then a snapshot
   * again. The returned function ends it. A failure to make the first snapshot goes to `fail`, once.
   */
  stream(
    host: { hostId: string; hostEpoch: () => number },
    send: (frame: StateFrame) => void,
    fail: (error: unknown) => void,
  ): () => void {
    let seq = 0;
    let open = true;
    // What changes while a snapshot is made is said after it.
    let early: Parameters<Listener>[0][] | null = [];
    let heartbeat: NodeJS.Timeout | undefined;
    let resync: NodeJS.Timeout | undefined;
    const at = () => (this.parts.now?.() ?? new Date()).toISOString();
    const delta: Listener = (change) => {
      if (early) {
        early.push(change);
        return;
      }
      seq += 1;
      heartbeat?.refresh();
      send({ kind: 'delta', seq, at: at(), ...change });
    };
    this.listeners.add(delta);
    const goOn = () => {
      const waiting = early ?? [];
      early = null;
      for (const change of waiting) delta(change);
      // Not all hosts of a pool at once, however together they were started.
      const after = this.parts.resyncMs * (0.7 + 0.3 * Math.random());
      if (open) resync = setTimeout(() => void again(), after);
    };
    const snapshot = async () => {
      const facts = this.facts ?? (await this.refreshFacts());
      const begunAt = at();
      const domains = await this.parts.driver.list();
      if (!open) return;
      const { hostId } = host;
      send({ kind: 'snapshot', seq, hostId, hostEpoch: host.hostEpoch(), at: begunAt, facts, domains });
    };
    const again = async () => {
      early = [];
      seq += 1;
      // The next one will tell.
      await snapshot().catch(() => (seq -= 1));
      goOn();
    };
    const begin = async () => {
      await snapshot();
      if (!open) return;
      heartbeat = setInterval(
        () => delta({ facts: null, domains: [], forgotten: [] }),
        this.parts.heartbeatMs,
      );
      goOn();
    };
    begin().catch((error: unknown) => {
      if (open) fail(error);
    });
    return () => {
      open = false;
      clearInterval(heartbeat);
      clearTimeout(resync);
      this.listeners.delete(delta);
    };
  }

  close(): void {
    this.stopWatching();
    clearTimeout(this.flushing);
  }

  /** Changes that come together go in one frame, and after the answer to the call that made them. */
  private flushSoon(): void {
    this.flushing ??= setTimeout(() => {
      this.flushing = undefined;
      const change: Change = {
        facts: null,
        domains: [...this.changed.values()],
        forgotten: [...this.forgotten],
        ...(this.storageChanged.size > 0 ? { storageChanged: [...this.storageChanged] } : {}),
      };
      this.changed.clear();
      this.forgotten.clear();
      this.storageChanged.clear();
      this.tell(change);
    }, FLUSH_AFTER_MS);
  }

  private tell(change: Parameters<Listener>[0]): void {
    for (const listener of this.listeners) listener(change);
  }
}
