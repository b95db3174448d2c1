import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Arena } from './arena.js';
import { FollowedJournal } from './follow-journal.js';
import {
  type BudgetsInForce,
  type ClientEntry,
  type EventRow,
  type History,
  type Refusal,
  type TableChange,
} from './history.js';
import { effectsOf, leftoversOf, takeInventory } from './take-inventory.js';

export interface WitnessOptions {
  /** Where the journals' lines are kept, a file a host; nowhere when absent. */
  readonly folder?: string;
  readonly budgets?: BudgetsInForce;
  readonly endsSeenWithinMs?: number;
}

const LOOK_EVERY_MS = 200;
/** Tickets are not in the order of commit: so many of the last ones are looked at again. */
const LATE_TICKETS = 5_000;
/** The observer's own lag that counts: less is noise. */
const STALL_MS = 100;

/**
 * Puts a history together out of what clients, agents, hypervisors, servers and tables have written down. Agents' journals
 * forget: in a long run it must watch.
 */
export class Witness {
  private readonly journals: readonly FollowedJournal[];
  private events: EventRow[] = [];
  private readonly tables = new Map<number, TableChange>();
  private lastTicket = 0;
  private watchesTables = false;
  private timer: NodeJS.Timeout | undefined;

  constructor(
    private readonly arena: Arena,
    private readonly options: WitnessOptions = {},
  ) {
    const { folder } = options;
    this.journals = arena.hosts.map(
      ({ id, name, journalFile }) =>
        new FollowedJournal(id, journalFile, folder && join(folder, `${name}.journal.jsonl`)),
    );
  }

  /** From now on until `close`. `stalled` is told when this process got no time for so many milliseconds, and since when. */
  async watch(stalled: (at: number, ms: number) => void): Promise<void> {
    await this.arena.rows(WATCH_TABLES);
    this.watchesTables = true;
    let due = performance.now() + LOOK_EVERY_MS;
    this.timer = setInterval(() => {
      const late = performance.now() - due;
      if (late > STALL_MS) stalled(Date.now() - late, late);
      this.look();
      due = performance.now() + LOOK_EVERY_MS;
    }, LOOK_EVERY_MS);
  }

  close(): void {
    clearInterval(this.timer);
    for (const journal of this.journals) journal.close();
  }

  /** All that is known now. */
  async take(clients: readonly ClientEntry[]): Promise<History> {
    const { arena, options } = this;
    // The tables first: what hosts and agents did since can only be more.
    const inventory = await takeInventory(arena);
    await this.readEvents();
    if (this.watchesTables) await this.readTables();
    this.look();
    return {
      clients,
      effects: effectsOf(arena),
      acts: arena.acts,
      journals: this.journals.flatMap(({ entries }) => entries),
      refusals: refusalsOf(arena),
      events: this.events,
      tables: [...this.tables.values()].sort((a, b) => a.at - b.at),
      budgets: options.budgets ?? null,
      endsSeenWithinMs: options.endsSeenWithinMs ?? 0,
      inventory,
      leftovers: leftoversOf(arena),
    };
  }

  private look(): void {
    for (const journal of this.journals) journal.look();
  }

  private async readEvents(): Promise<void> {
    const rows = await this.arena.rows<EventRow>(
      `select number::float8 as number, type, object_type as "objectType", object_id as "objectId",
              operation_id as "operationId", (extract(epoch from at) * 1000)::float8 as at, actor, trace_id as "traceId", changes
         from event where number > $1 order by number`,
      [this.events.at(-1)?.number ?? 0],
    );
    this.events = [...this.events, ...rows];
  }

  private async readTables(): Promise<void> {
    const rows = await this.arena.rows<TableChange & { ticket: number }>(
      `select ticket::float8 as ticket, (extract(epoch from at) * 1000)::float8 as at, "table", what, "row"
         from witness.change where ticket > $1 order by ticket`,
      [this.lastTicket - LATE_TICKETS],
    );
    for (const { ticket, ...change } of rows) this.tables.set(ticket, change);
    this.lastTicket = rows.at(-1)?.ticket ?? this.lastTicket;
  }
}

/**
 * PostgreSQL itself writes down each claim and lock that comes and goes, and each operation that comes, in the transaction that does it: whoever only looks now
 * and then misses what lies between. A row that goes is written down a little before others see it gone, so that what stands
 * here at a time is never more than was really there.
 */
const WATCH_TABLES = `
  create schema witness;
  create table witness.change (ticket bigint generated always as identity primary key, at timestamptz not null default clock_timestamp(),
    "table" text not null, what text not null, "row" jsonb not null);
  create function witness.note() returns trigger language plpgsql as $$ begin
    if tg_op <> 'INSERT' then insert into witness.change ("table", what, "row") values (tg_table_name, 'gone', to_jsonb(old)); end if;
    if tg_op <> 'DELETE' then insert into witness.change ("table", what, "row") values (tg_table_name, 'there', to_jsonb(new)); end if;
    return null;
  end $$;
  create function witness.note_operation() returns trigger language plpgsql as $$ begin
    insert into witness.change ("table", what, "row") values ('operation', 'there', jsonb_build_object('id', new.id));
    return null;
  end $$;
  create trigger witness after insert on operation for each row execute function witness.note_operation();
  create trigger witness after insert or update or delete on claim for each row execute function witness.note();
  create trigger witness_there after insert or update on object_lock for each row
    when (new.object_type in ('host', 'storage_repository')) execute function witness.note();
  create trigger witness_gone after delete on object_lock for each row
    when (old.object_type in ('host', 'storage_repository')) execute function witness.note();`;

interface LogLine {
  readonly audit?: string;
  readonly time: string;
  readonly hostId: string;
  readonly call: string;
  readonly operationId: string;
  readonly step: string;
  readonly attempt: number;
}

/** What servers have logged of late calls. */
function refusalsOf(arena: Arena): Refusal[] {
  return [...arena.servers.values()].flatMap(({ name, logFile }) =>
    readFileSync(logFile, 'utf8')
      .split('\n')
      .filter((line) => line.startsWith('{') && line.includes('"host.late_call_refused"'))
      .map((line) => JSON.parse(line) as LogLine)
      .filter(({ audit }) => audit === 'host.late_call_refused')
      .map(({ time, hostId, call, operationId, step, attempt }) => {
        return { at: Date.parse(time), server: name, hostId, call, operationId, step, attempt };
      }),
  );
}
