import { setTimeout as delay } from 'node:timers/promises';
import { failpoints } from '../../../src/kernel/failpoint.js';
import { SeededRandom } from '../../support/seeded-random.js';
import { scratchFolder } from '../../support/scratch-folder.js';
import { Arena } from '../arena.js';
import { playBatch, type Verdict } from './batch.js';
import { type Case, casesOf, matches, pointsOf, type Recorded } from './cases.js';
import { definedOperations } from './definitions.js';
import { judge, leftovers } from './judge.js';
import { Signals } from './signals.js';
import { Stage } from './stage.js';
import { ways } from './ways.js';

export interface SweepSettings {
  readonly seed: number;
  /** Only cases that match; see `matches`. */
  readonly only?: string | undefined;
  /** Only so many of them, chosen by the seed. */
  readonly share?: number | undefined;
  /** Names of cases that are played before those, whatever the seed. */
  readonly first?: readonly string[] | undefined;
  /** No further batch begins after this. */
  readonly mostMs?: number | undefined;
  readonly note: (line: string) => void;
  /** Called while the arena still stands, if anything is wrong. */
  readonly keep?: (folder: string) => void;
}

export interface SweepOutcome {
  readonly recorded: readonly Recorded[];
  /** Points that no way passes. */
  readonly unreached: readonly string[];
  readonly verdicts: readonly Verdict[];
  /** Cases for which there was no time. */
  readonly left: number;
  /** Beside the cases: what was left at the end, and programs that ended by themselves. */
  readonly wrong: readonly string[];
  readonly ms: number;
}

const SERVERS = { 'api-1': 'api,link', 'api-2': 'api,link', 'worker-1': 'worker', 'worker-2': 'worker' };
const AGENTS = { 'agent-1': 2, 'agent-2': 2 };
const BATCH = 40;
/** A case whose process others have hurt before it came to its point is tried again, at last alone. */
const TRIES = 4;

/** Two passes: the points of every way are recorded while nothing is hurt, then each is hit with everything that can befall it. */
export async function runSweep(settings: SweepSettings): Promise<SweepOutcome> {
  const { note, seed } = settings;
  const began = performance.now();
  const random = new SeededRandom(seed);
  const scratch = scratchFolder('sweep');
  const signals = new Signals(scratch.path);
  const arena = await Arena.open({
    servers: SERVERS,
    agents: AGENTS,
    seed,
    environment: signals.environment,
  });
  let outcome: SweepOutcome | undefined;
  try {
    const stage = new Stage(arena, signals);
    await stage.prepare();
    const recorded = await record(stage);
    const all = casesOf(recorded);
    const fitting = all.filter(({ name }) => settings.only === undefined || matches(name, settings.only));
    const first = all.filter(({ name }) => settings.first?.includes(name));
    const others = shuffled(fitting, random).filter((one) => !first.includes(one));
    const cases = [...first, ...others.slice(0, settings.share)];
    note(`${ways.length} ways, ${all.length} cases, ${cases.length} of them now`);
    const { verdicts, left } = await playAll(stage, cases, settings, began);
    const wrong = [
      ...forgotten(recorded),
      ...(await quiet(arena)),
      ...arena.misfortunes.map(({ at, program, how }) => `${program} ended by itself at ${at}: ${how}`),
    ];
    const passed = new Set(signals.crossings().map(({ point }) => point.split(':')[0]));
    const unreached = failpoints.filter((name) => !passed.has(name));
    outcome = { recorded, unreached, verdicts, left, wrong, ms: performance.now() - began };
    if (wrong.length > 0 || verdicts.some((one) => one.wrong.length > 0 || !one.hit))
      settings.keep?.(arena.folder);
  } finally {
    const forced = await arena.close();
    scratch.remove();
    if (outcome && forced.length > 0)
      outcome = { ...outcome, wrong: [...outcome.wrong, `${forced.length} processes were ended by force`] };
  }
  return outcome;
}

async function record(stage: Stage): Promise<Recorded[]> {
  const { arena, signals } = stage;
  const runs = await Promise.all(
    ways.map(async (way) => {
      const targetId = await way.prepare(stage);
      const since = Date.now();
      let from = since;
      await way.ask(stage, targetId, () => (from = Date.now()));
      const until = Date.now() + 60_000;
      for (;;) {
        const wrong = await judge(arena, way, targetId, since);
        if (wrong.length === 0) return { way, targetId, from };
        if (Date.now() > until)
          throw new Error(`${way.name} is wrong though nothing was hurt: ${wrong.join('; ')}`);
        await delay(100);
      }
    }),
  );
  // What a relay does after everything else.
  await delay(1_000);
  const crossings = signals.crossings();
  return runs.map(({ way, targetId, from }) => pointsOf(way, targetId, from, crossings));
}

/** Steps that no way goes through: a definition has learnt something, and the ways have not. */
function forgotten(recorded: readonly Recorded[]): string[] {
  const kinds = new Set(ways.map(({ kind }) => kind));
  return definedOperations()
    .filter(({ kind }) => kinds.has(kind))
    .flatMap(({ kind, steps }) =>
      steps
        .filter((step) => {
          const done = `step.after-done:${step}`;
          return !recorded.some(
            ({ way, points }) => way.kind === kind && points.some(({ point }) => point === done),
          );
        })
        .map((step) => `no way goes through the step ${step} of ${kind}`),
    );
}

async function playAll(
  stage: Stage,
  cases: readonly Case[],
  { note, mostMs = Infinity }: SweepSettings,
  began: number,
): Promise<{ verdicts: Verdict[]; left: number }> {
  const verdicts: Verdict[] = [];
  let todo = cases.map((one) => ({ one, tries: 0 }));
  for (;;) {
    const [next] = todo;
    if (!next || performance.now() - began > mostMs) break;
    const size = next.tries === TRIES - 1 ? 1 : Math.ceil(BATCH / 2 ** next.tries);
    const same = ({ one, tries }: { one: Case; tries: number }) =>
      one.role === next.one.role && one.act === next.one.act && tries === next.tries;
    const batch = todo.filter(same).slice(0, size);
    todo = todo.filter((one) => !batch.includes(one));
    const played = await playBatch(
      stage,
      batch.map(({ one }) => one),
    );
    for (const [at, verdict] of played.entries()) {
      const tries = (batch[at]?.tries ?? 0) + 1;
      for (const line of verdict.wrong) note(`${verdict.case.name}: ${line}`);
      if (!verdict.hit && verdict.wrong.length === 0 && tries < TRIES)
        todo.push({ one: verdict.case, tries });
      else verdicts.push(verdict);
    }
    const bad = verdicts.filter(({ wrong, hit }) => wrong.length > 0 || !hit).length;
    note(
      `${verdicts.length} of ${cases.length} cases, ${bad} bad, after ${Math.round((performance.now() - began) / 1_000)} s ` +
        `(${batch.length} × ${next.one.role}/${next.one.act})`,
    );
  }
  return { verdicts, left: todo.length };
}

async function quiet(arena: Arena): Promise<string[]> {
  const until = Date.now() + 30_000;
  for (;;) {
    const left = await leftovers(arena);
    if (left.length === 0 || Date.now() > until) return left;
    await delay(250);
  }
}

function shuffled<T>(list: readonly T[], random: SeededRandom): T[] {
  const rest = [...list];
  return list.map(() => rest.splice(random.below(rest.length), 1)[0] as T);
}
