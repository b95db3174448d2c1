import { appendFileSync, closeSync, openSync, readFileSync } from 'node:fs';
import { type HistoryLine } from '../../src/hypervisor-driver/fake/index.js';

/** Times are milliseconds since 1970, by the one clock of this machine. */
export type ClientEntry =
  | {
      readonly kind: 'request';
      readonly at: number;
      readonly request: number;
      readonly client: number;
      readonly method: string;
      readonly path: string;
      /** `start`, `create_volume`, … */
      readonly verb: string;
      readonly target: { readonly type: string; readonly id: string };
      readonly key: string | null;
      /** Of a PATCH: the name that was written, which nobody else writes. */
      readonly wrote?: string;
    }
  | {
      readonly kind: 'answer';
      readonly at: number;
      readonly request: number;
      readonly status: number;
      readonly code: string | null;
      /** Of a 202: from now on it must not be lost. */
      readonly operationId: string | null;
      /** Of a 200 to a PATCH. */
      readonly revision: number | null;
      /** Of a 429: the seconds after which to ask again. */
      readonly retryAfter?: number | null;
      readonly ms: number;
    }
  | { readonly kind: 'lost'; readonly at: number; readonly request: number; readonly why: string }
  /** As a subscriber received it over SSE, which it resumes by `Last-Event-ID` whenever it breaks. */
  | {
      readonly kind: 'event';
      readonly at: number;
      readonly id: number;
      readonly type: string;
      readonly objectId: string;
      readonly operationId: string | null;
    }
  | { readonly kind: 'fault'; readonly at: number; readonly what: string; readonly name: string }
  | { readonly kind: 'healed'; readonly at: number; readonly what: string; readonly name: string }
  /** The observer itself got no time to look: for so long nothing can be said of how long something took. */
  | { readonly kind: 'stall'; readonly at: number; readonly ms: number }
  /** Nothing is hurt any more. Only a history that says so has written down every fault, so that time can be judged. */
  | { readonly kind: 'calm'; readonly at: number };

/** What really happened to a guest on a host. */
export interface GuestEffect extends Pick<
  HistoryLine,
  'effect' | 'domainId' | 'generation' | 'by' | 'sequence'
> {
  readonly at: number;
  readonly hostId: string;
  /** Since when the guest is in its state, by the hypervisor's own record after the effect; null once it is forgotten. */
  readonly since: number | null;
  readonly memoryBytes: number;
}

/** Somebody's hand on a guest behind its agent's back. */
export interface OutsideAct {
  readonly at: number;
  readonly hostId: string;
  readonly domainId: string;
  readonly act: string;
}

/** A line of an agent's journal, in the order in which it was written. */
export type AgentEntry =
  | {
      readonly kind: 'begin';
      readonly at: number;
      readonly hostId: string;
      /** Names the effect: the same call of the same step of the same operation. */
      readonly key: string;
      readonly call: string;
      readonly operationId: string;
      readonly step: string;
      readonly attempt: number;
      readonly hostEpoch: number;
      readonly domain: { readonly id: string; readonly generation: number } | null;
      readonly overtakes: readonly { readonly operationId: string; readonly attempt: number }[];
    }
  | {
      readonly kind: 'end';
      readonly at: number;
      readonly hostId: string;
      readonly key: string;
      /** The code of the problem with which the call was refused; null: it was done. */
      readonly refused: string | null;
    };

/** A late call that a server was refused, as its log has it. */
export interface Refusal {
  readonly at: number;
  readonly server: string;
  readonly hostId: string;
  readonly call: string;
  readonly operationId: string;
  readonly step: string;
  readonly attempt: number;
}

/** Of the event log. */
export interface EventRow {
  readonly number: number;
  readonly type: string;
  readonly objectType: string;
  readonly objectId: string;
  readonly operationId: string | null;
  readonly at: number;
  /** Who asked, where the event says so. */
  readonly actor: string | null;
  readonly traceId: string | null;
  readonly changes: Readonly<Record<string, unknown>>;
}

/** A row that came or went, in the order in which PostgreSQL did it; what was rolled back is not there. */
export interface TableChange {
  readonly at: number;
  readonly table: 'claim' | 'object_lock' | 'operation';
  readonly what: 'there' | 'gone';
  readonly row: Readonly<Record<string, unknown>>;
}

/** A guest that a host has, alive or not, at the end. */
export interface GuestRecord {
  readonly hostId: string;
  readonly domainId: string;
  readonly generation: number;
  readonly state: string;
  readonly since: number | null;
}

export interface OperationRow {
  readonly id: string;
  readonly kind: string;
  readonly state: string;
  readonly targetType: string;
  readonly targetId: string;
  readonly parentId: string | null;
  readonly errorCode: string | null;
  readonly attempt: number;
  readonly leaseOwner: string | null;
  readonly createdAt: number;
  readonly startedAt: number | null;
  readonly endedAt: number | null;
  readonly deadlineAt: number | null;
  readonly actor: string;
  /** Not what Domus does of itself, no child, and not one that takes what it needs from others. */
  readonly bounded: boolean;
  /** It waited for its turn, which had been promised to it, whatever the budgets say by then. */
  readonly waited: boolean;
}

/** The tables as they are at the end, and what hosts really have. */
export interface Inventory {
  readonly domains: readonly {
    readonly id: string;
    readonly state: string;
    readonly hostId: string | null;
    readonly generation: number;
    readonly stateSince: number | null;
  }[];
  /** What each host offers, as the tables have it. */
  readonly hosts: readonly {
    readonly id: string;
    /** The program that plays it. */
    readonly agent: string;
    readonly offeredBytes: number;
  }[];
  readonly operations: readonly OperationRow[];
  readonly locks: readonly {
    readonly objectType: string;
    readonly objectId: string;
    readonly operationId: string;
  }[];
  readonly claims: readonly { readonly domainId: string; readonly hostId: string }[];
  readonly holds: readonly {
    readonly volumeId: string;
    readonly hostId: string;
    readonly domainId: string | null;
    readonly operationId: string | null;
  }[];
  readonly outbox: readonly { readonly operationId: string }[];
  readonly volumes: readonly { readonly id: string; readonly state: string }[];
  /** What the storage really holds. */
  readonly volumeFiles: readonly string[];
  readonly guests: readonly GuestRecord[];
  /** The number of the newest event, and how many have none. */
  readonly lastEvent: number;
  readonly unnumberedEvents: number;
}

/** How many operations may be under way at once; null: nothing was said of it. */
export interface BudgetsInForce {
  readonly host: number;
  readonly storageRepository: number;
  readonly caller: number;
}

export interface History {
  readonly clients: readonly ClientEntry[];
  /** Of all hosts. */
  readonly effects: readonly GuestEffect[];
  readonly acts: readonly OutsideAct[];
  /** Of all hosts, each in its own order. */
  readonly journals: readonly AgentEntry[];
  readonly refusals: readonly Refusal[];
  readonly events: readonly EventRow[];
  /** Of claims and locks, where somebody watched them. */
  readonly tables: readonly TableChange[];
  readonly budgets: BudgetsInForce | null;
  /** So much later than it was may be said that a guest ended: a real process is only seen to be gone. Absent: it is exact. */
  readonly endsSeenWithinMs?: number;
  readonly inventory: Inventory;
  /** Programs that ended by themselves, processes that had to be ended by force, files that were left. */
  readonly leftovers: readonly string[];
}

/** One line an entry, written at once: a run that is cut off leaves what it saw. */
export class HistoryWriter {
  private readonly file: number;
  private waiting: string[] = [];
  private scheduled = false;
  readonly entries: ClientEntry[] = [];
  private requests = 0;

  constructor(path: string) {
    this.file = openSync(path, 'a', 0o600);
  }

  /** Requests of all clients are numbered together. */
  nextRequest(): number {
    return ++this.requests;
  }

  add(entry: ClientEntry): void {
    this.entries.push(entry);
    this.waiting.push(`${JSON.stringify(entry)}\n`);
    if (this.scheduled) return;
    this.scheduled = true;
    setImmediate(() => this.flush());
  }

  close(): void {
    this.flush();
    closeSync(this.file);
  }

  private flush(): void {
    this.scheduled = false;
    if (this.waiting.length > 0) appendFileSync(this.file, this.waiting.join(''));
    this.waiting = [];
  }
}

export const readEntries = (path: string): ClientEntry[] =>
  readFileSync(path, 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as ClientEntry);
