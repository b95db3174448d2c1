import { isDeepStrictEqual } from 'node:util';
import {
  type HostFacts,
  type ObservedDomain,
  programVersion,
  type StateFrame,
} from '../../agent-contract/index.js';
import { type HypervisorDriver } from '../../hypervisor-driver/driver.js';
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
  readonly machine: () => Promise<Machine>;
  /** How often an empty delta says that the agent lives. */
  readonly heartbeatMs: number;
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
    const [fingerprint, machine] = await Promise.all([this.parts.driver.fingerprint(), this.parts.machine()]);
    const facts: HostFacts = {
      ...machine,
      agentVersion: programVersion,
      hypervisor: fingerprint.hypervisor,
      capabilities: fingerprint.capabilities,
    };
    if (this.facts && !isDeepStrictEqual(this.facts, facts)) this.tell({ facts, domains: [], forgotten: [] });
    this.facts = facts;
    return facts;
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
   * Sends a snapshot, then what changes, then an empty delta whenever nothing did for a while. The returned function
   * ends it. A failure to make the snapshot goes to `fail`, once.
   */
  stream(
    host: { hostId: string; hostEpoch: () => number },
    send: (frame: StateFrame) => void,
    fail: (error: unknown) => void,
  ): () => void {
    let seq = 0;
    let open = true;
    let early: Parameters<Listener>[0][] | null = [];
    let heartbeat: NodeJS.Timeout | undefined;
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
    const begin = async () => {
      const facts = this.facts ?? (await this.refreshFacts());
      const domains = await this.parts.driver.list();
      if (!open) return;
      send({
        kind: 'snapshot',
        seq,
        hostId: host.hostId,
        hostEpoch: host.hostEpoch(),
        at: at(),
        facts,
        domains,
      });
      const waiting = early ?? [];
      early = null;
      heartbeat = setInterval(
        () => delta({ facts: null, domains: [], forgotten: [] }),
        this.parts.heartbeatMs,
      );
      for (const change of waiting) delta(change);
    };
    begin().catch((error: unknown) => {
      if (open) fail(error);
    });
    return () => {
      open = false;
      clearInterval(heartbeat);
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
