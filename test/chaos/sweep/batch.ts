import { setTimeout as delay } from 'node:timers/promises';
import { type Program } from '../program.js';
import { type Case } from './cases.js';
import { judge } from './judge.js';
import { type Stage } from './stage.js';

export interface Verdict {
  readonly case: Case;
  /** It was hurt where it was to be. If not, it has to be tried again: whoever shared its process was quicker. */
  readonly hit: boolean;
  /** What was not true in the end. */
  readonly wrong: readonly string[];
}

/** One case while it is played. */
interface Played {
  readonly case: Case;
  readonly planId: string;
  readonly targetId: string;
  readonly asked: Promise<string | undefined>;
  since: number;
}

/** So long after the last one has come to its point, those that have not will not. */
const STILL_MS = 2_500;
/** For the truth after everything is back. */
const CALM_MS = 60_000;
/** How long a process stands still at most: a lease and more, the silence after which a host is away, a client's patience. */
const STANDS_MS = { server: 9_000, worker: 22_000, relay: 6_000, agent: 12_500 } as const;

let plans = 0;

/**
 * Cases of one role and one act, each with an object of its own, at once: each stands at its point, and when all do, the
 * processes in which they stand are hurt one after the other. Then everything goes on, and each is judged.
 */
export async function playBatch(stage: Stage, cases: readonly Case[]): Promise<Verdict[]> {
  const played = await Promise.all(cases.map((one) => begin(stage, one)));
  await standing(stage, played);
  const [first] = cases;
  if (first?.act === 'kill') await killAll(stage, played);
  if (first?.act === 'pause') await pauseAll(stage, played, STANDS_MS[first.role]);
  if (first?.act === 'flush') await stage.arena.flushRedis();
  for (const { planId } of played) stage.signals.release(planId);
  return Promise.all(played.map((one) => verdictOn(stage, one)));
}

async function begin(stage: Stage, one: Case): Promise<Played> {
  const { way, role, point, act } = one;
  const targetId = await way.prepare(stage);
  const planId = `${++plans}-${act}`;
  const arm = () => stage.signals.plan({ id: planId, targetId, kind: way.kind, role, point, act });
  const since = Date.now();
  const asked = way.ask(stage, targetId, arm).then(
    () => undefined,
    (error: unknown) => `it could not be asked for: ${String((error as Error).message)}`,
  );
  return { case: one, planId, targetId, asked, since };
}

async function standing(stage: Stage, played: readonly Played[]): Promise<void> {
  let seen = 0;
  let last = Date.now();
  const still = Math.max(...played.map(({ case: { way } }) => way.stillMs ?? STILL_MS));
  while (seen < played.length && Date.now() - last < still) {
    await delay(25);
    const now = played.filter(({ planId }) => stage.signals.hit(planId)).length;
    if (now > seen) last = Date.now();
    seen = now;
  }
}

/** Those that stand in each program. */
function byProgram(stage: Stage, played: readonly Played[]): [Program, Played[]][] {
  const all = Map.groupBy(played, ({ planId }) => {
    const hit = stage.signals.hit(planId);
    return stage.arena.programs.find(({ name, pid }) => name === hit?.program && pid === hit.pid);
  });
  return [...all].flatMap(([program, list]) => (program ? [[program, list]] : []));
}

async function killAll(stage: Stage, played: readonly Played[]): Promise<void> {
  for (const [program] of byProgram(stage, played)) {
    await program.kill();
    await program.start();
  }
}

/** Longer than its right lasts, or until the others have done its work. It wakes where it stood, and does not know. */
async function pauseAll(stage: Stage, played: readonly Played[], most: number): Promise<void> {
  const { arena, signals } = stage;
  for (const [program, list] of byProgram(stage, played)) {
    program.pause();
    const until = Date.now() + most;
    const targets = list.map(({ targetId }) => targetId);
    const lives = () =>
      arena.rows(`select 1 from operation where target_id = any($1::uuid[]) and ended_at is null`, [targets]);
    const acknowledged = Promise.all(list.map(({ asked }) => asked)).then(() => true);
    for (;;) {
      const done = await Promise.race([acknowledged, delay(250, false)]);
      if (Date.now() > until || (done && (await lives()).length === 0)) break;
      if (done) await delay(250);
    }
    for (const { planId } of list) signals.release(planId);
    program.resume();
  }
}

async function verdictOn(
  stage: Stage,
  { case: one, planId, targetId, asked, since }: Played,
): Promise<Verdict> {
  const refused = await asked;
  const until = Date.now() + (one.way.calmMs ?? CALM_MS);
  for (;;) {
    const wrong = await judge(stage.arena, one.way, targetId, since);
    if (refused !== undefined) wrong.push(refused);
    const hit = stage.signals.hit(planId) !== undefined;
    if (wrong.length === 0 || refused !== undefined || Date.now() > until) {
      await one.way.restore?.(stage, targetId);
      return { case: one, hit, wrong };
    }
    await delay(200);
  }
}
