import { setTimeout as delay } from 'node:timers/promises';
import { Arena } from './arena.js';
import { AnswerLost } from './api-caller.js';
import { checkHistory } from './history-checker.js';
import { spread } from './report.js';
import { effectsOf, leftoversOf, takeInventory } from './take-inventory.js';

/**
 * Faults that have a promise of their own. The figures are printed; what is asked here leaves room for a machine that has other
 * things to do.
 */
let arena: Arena;
const domains: string[] = [];
const say = (line: string): void => void process.stderr.write(`${line}\n`);

beforeAll(async () => {
  arena = await Arena.open({ queue: 'redis', agents: { left: 2, right: 2 } });
  for (let made = 0; made < 12; made += 1) {
    const input = {
      name: `domain-${made}`,
      poolId: arena.poolId,
      memoryBytes: 16 << 20,
      boot: { firmware: 'bios', order: ['network'] },
    };
    const { target } = await arena.api.ask<{ target: { id: string } }>('POST', '/v1/domains', input);
    domains.push(target.id);
  }
}, 240_000);
afterAll(async () => expect(await arena.close()).toEqual([]), 60_000);

interface Word {
  readonly at: number;
  readonly status: number;
  readonly ms: number;
  readonly operationId: string | null;
  readonly code: string | null;
}

/** One client for each domain, which starts and ends it in turn until `over`. Everything it was told. */
async function underLoad(hurt: (words: readonly Word[]) => Promise<void>): Promise<readonly Word[]> {
  const words: Word[] = [];
  let over = false;
  const clients = domains.map(async (id) => {
    for (let turn = 0; !over; turn += 1) {
      const path = `/v1/domains/${id}/${turn % 2 === 0 ? 'start' : 'force-off'}`;
      const answer = await arena.api.once('POST', path).catch((error: unknown) => {
        if (error instanceof AnswerLost) return undefined;
        throw error;
      });
      if (!answer) continue;
      const { status, ms } = answer;
      const operationId = status === 202 ? String(answer.body['id']) : null;
      const code = status >= 400 ? String(answer.body['code']) : null;
      words.push({ at: Date.now(), status, ms, operationId, code });
      if (operationId) await arena.api.ended(operationId, 120_000);
      else await delay(20);
    }
  });
  await hurt(words);
  over = true;
  await Promise.all(clients);
  return words;
}

/** Milliseconds from acceptance to end of what was accepted, once all of it has ended. */
async function durationsOf(words: readonly Word[]): Promise<number[]> {
  const ids = words.flatMap(({ operationId }) => operationId ?? []);
  const rows = await arena.rows<{ ms: number | null; state: string }>(
    `select state, (extract(epoch from ended_at - created_at) * 1000)::float8 as ms from operation where id = any($1)`,
    [ids],
  );
  expect(rows.length).toBe(ids.length);
  expect(rows.filter(({ ms }) => ms === null)).toEqual([]);
  return rows.map(({ ms }) => ms ?? 0);
}

/** The promises of the arena that hold whatever happened: nothing doubled, nothing half-done, nothing left. */
async function expectWhole(): Promise<void> {
  const until = Date.now() + 60_000;
  for (;;) {
    const inventory = await takeInventory(arena);
    const history = { clients: [], effects: effectsOf(arena), inventory, leftovers: leftoversOf(arena) };
    const violations = checkHistory(history);
    if (violations.length === 0) return;
    if (Date.now() > until) expect(violations).toEqual([]);
    await delay(200);
  }
}

it('a Redis that is wiped under load loses nothing, and delays little', async () => {
  const calm = await durationsOf(await underLoad(() => delay(3_000)));
  const words = await underLoad(async () => {
    for (let wiped = 0; wiped < 10; wiped += 1) {
      await arena.flushRedis();
      await delay(500);
    }
  });
  const hurt = await durationsOf(words);
  say(`ten wipes of Redis: ${spread(hurt)}; without: ${spread(calm)}`);
  expect(words.filter(({ status }) => status >= 500)).toEqual([]);
  const sorted = hurt.sort((a, b) => a - b);
  expect(sorted[Math.floor(sorted.length * 0.99)]).toBeLessThan(15_000);
  await expectWhole();
}, 240_000);

it('a PostgreSQL that is stopped hard under load: clear refusals at once, nothing half-done, service soon after it is back', async () => {
  let [away, returning, back] = [0, 0, 0];
  const words = await underLoad(async (told) => {
    await delay(1_000);
    away = Date.now();
    await arena.postgres.kill();
    await delay(3_000);
    returning = Date.now();
    await arena.restartPostgres();
    back = Date.now();
    const until = back + 60_000;
    while (!told.some(({ at, status }) => at > returning && status === 202)) {
      if (Date.now() > until)
        throw new Error('Nothing was accepted within a minute after PostgreSQL was back.');
      await delay(20);
    }
  });
  const meanwhile = words.filter(({ at, ms }) => at - ms > away && at < returning);
  const after = words.find(({ at, status }) => at > returning && status === 202);
  say(
    `PostgreSQL away: ${meanwhile.length} refusals, ${spread(meanwhile.map(({ ms }) => ms))}; ` +
      `first acceptance ${(after?.at ?? Infinity) - returning} ms after it was started, which took ${back - returning} ms`,
  );
  expect(meanwhile.length).toBeGreaterThan(0);
  expect([...new Set(meanwhile.map(({ status, code }) => `${status} ${code}`))]).toEqual([
    '503 database.unavailable',
  ]);
  expect(Math.max(...meanwhile.map(({ ms }) => ms))).toBeLessThan(4_000);
  expect((after?.at ?? Infinity) - returning).toBeLessThan(20_000);
  await durationsOf(words);
  await expectWhole();
}, 240_000);
