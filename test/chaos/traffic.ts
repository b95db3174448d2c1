import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type Arena } from './arena.js';
import { convergedAfter } from './expect-whole.js';
import { type ClientEntry, HistoryWriter } from './history.js';
import { askRecorded } from './recorded-request.js';
import { Subscriber } from './subscriber.js';

/** Longer than the longest outage: a client that gives up proves nothing. */
const PATIENCE_MS = 180_000;
const REST_WITHIN_MS = 30_000;

/** Started and ended, paused and resumed: what a domain in this state is asked for, the one or the other. */
const verbs: Readonly<Record<string, readonly [string, string]>> = {
  halted: ['start', 'start'],
  crashed: ['start', 'start'],
  running: ['pause', 'force-off'],
  paused: ['resume', 'force-off'],
};

/**
 * A client for each domain, which asks for one thing after the other and waits for its end, and a subscriber to all events.
 * For faults that last: it goes on while they do, and what it saw is for the history checker.
 */
export class Traffic {
  private subscriber: Subscriber | undefined;
  private readonly history: HistoryWriter;
  private over = false;
  accepted = 0;

  constructor(
    private readonly arena: Arena,
    private readonly domains: readonly string[],
    name: string,
  ) {
    this.history = new HistoryWriter(join(arena.folder, 'history', `${name}-clients.jsonl`));
  }

  get entries(): readonly ClientEntry[] {
    return this.history.entries;
  }

  /** Hurts once the first things were accepted. Resolves when `hurt` has, and all that was accepted has ended. Then `close`. */
  async during(hurt: () => Promise<void>): Promise<void> {
    const [head] = await this.arena.rows<{ last: number }>('select last::float8 as last from event_head');
    this.subscriber = new Subscriber(this.arena.api, head?.last ?? 0, this.history, () => undefined);
    const clients = Promise.all(this.domains.map((id, client) => this.client(client, id)));
    try {
      while (this.accepted < this.domains.length) await delay(20);
      await hurt();
    } finally {
      this.over = true;
      await clients;
    }
  }

  close(): void {
    this.subscriber?.stop();
    this.history.close();
  }

  /** From acceptance to end, in milliseconds, of all that was accepted. */
  async durations(): Promise<number[]> {
    const ids = this.entries.flatMap((entry) => (entry.kind === 'answer' && entry.operationId) || []);
    const rows = await this.arena.rows<{ ms: number }>(
      `select (extract(epoch from ended_at - created_at) * 1000)::float8 as ms from operation
        where id = any($1) and ended_at is not null`,
      [ids],
    );
    expect(rows).toHaveLength(ids.length);
    return rows.map(({ ms }) => ms);
  }

  private async client(client: number, id: string): Promise<void> {
    for (let turn = client; !this.over; turn += 1) {
      const path = `/v1/domains/${id}`;
      const { state } = await this.arena.api.ask<{ state: string }>('GET', path, undefined, PATIENCE_MS);
      const verb = verbs[state]?.[turn % 2];
      const operationId = verb && (await this.ask(client, id, verb));
      if (operationId) await this.arena.api.ended(operationId, PATIENCE_MS);
      else await delay(50);
    }
  }

  private async ask(client: number, id: string, verb: string): Promise<string | null> {
    const path = `/v1/domains/${id}/${verb}`;
    const asked = { method: 'POST', path, verb: verb.replace('-', '_'), target: { type: 'domain', id } };
    const answer = await askRecorded(this.arena.api, this.history, client, asked);
    const operationId = answer?.status === 202 ? String(answer.body['id']) : null;
    if (operationId) this.accepted += 1;
    return operationId;
  }
}

export interface Outage {
  readonly name: string;
  /** Clients, with a domain each. */
  readonly clients: number;
  readonly begin: () => void | Promise<void>;
  /** As long as this takes, it lasts. */
  readonly meanwhile: (traffic: Traffic) => Promise<void>;
  readonly end: () => void | Promise<void>;
  /** What must be seen soon after. */
  readonly afterwards?: () => Promise<void>;
}

/**
 * Lives through an outage with traffic, and fails unless within 30 s of its end every promise holds again. Answers with how
 * long that took and how long operations took, in milliseconds.
 */
export async function liveThrough(
  arena: Arena,
  outage: Outage,
): Promise<{ restMs: number; durations: number[]; entries: readonly ClientEntry[] }> {
  const { name, begin, meanwhile, end, afterwards } = outage;
  const traffic = new Traffic(arena, await makeDomains(arena, name, outage.clients), name);
  let endedAt = 0;
  try {
    await traffic.during(async () => {
      await begin();
      try {
        await meanwhile(traffic);
      } finally {
        await end();
        endedAt = performance.now();
      }
      await afterwards?.();
    });
    await convergedAfter(arena, traffic.entries, REST_WITHIN_MS - (performance.now() - endedAt));
    const restMs = performance.now() - endedAt;
    return { restMs, durations: await traffic.durations(), entries: traffic.entries };
  } finally {
    traffic.close();
  }
}

/** Domains that boot from nothing, halted. */
export async function makeDomains(arena: Arena, name: string, count: number): Promise<string[]> {
  const ids: string[] = [];
  for (let made = 0; made < count; made += 1) {
    const input = {
      name: `${name}-${made}`,
      poolId: arena.poolId,
      memoryBytes: 16 << 20,
      boot: { firmware: 'bios', order: ['network'] },
    };
    const { id, target } = await arena.api.ask<{ id: string; target: { id: string } }>(
      'POST',
      '/v1/domains',
      input,
    );
    await arena.api.ended(id);
    ids.push(target.id);
  }
  return ids;
}
