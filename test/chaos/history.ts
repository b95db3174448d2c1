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
  | { readonly kind: 'calm'; readonly at: number };

/** What really happened to a guest on a host. */
export interface GuestEffect extends Pick<
  HistoryLine,
  'effect' | 'domainId' | 'generation' | 'by' | 'sequence'
> {
  readonly at: number;
  readonly hostId: string;
}

/** A guest that a host has, alive or not, at the end. */
export interface GuestRecord {
  readonly hostId: string;
  readonly domainId: string;
  readonly generation: number;
  readonly state: string;
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
}

/** The tables as they are at the end, and what hosts really have. */
export interface Inventory {
  readonly domains: readonly {
    readonly id: string;
    readonly state: string;
    readonly hostId: string | null;
    readonly generation: number;
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

export interface History {
  readonly clients: readonly ClientEntry[];
  /** Of all hosts. */
  readonly effects: readonly GuestEffect[];
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

  constructor(path: string) {
    this.file = openSync(path, 'a', 0o600);
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
