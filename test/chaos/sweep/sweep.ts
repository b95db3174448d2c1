import { setTimeout as delay } from 'node:timers/promises';
import { failpoints } from '../../../src/kernel/failpoint.js';
import { SeededRandom } from '../../support/seeded-random.js';
import { scratchFolder } from '../../support/scratch-folder.js';
import { Arena } from '../arena.js';
import { playBatch, type Verdict } from './batch.js';
import { type Case, casesOf, matches, pointsOf, type Recorded } from './cases.js';
import { definedOperations } from './definitions.js';
import { judge, leftovers } from './judge.js';
import { cancelledWays } from './cancelled-ways.js';
import { Signals } from './signals.js';
import { Stage } from './stage.js';
import { doubtfulWays, hurried } from './doubtful-ways.js';
import { hostWays } from './host-ways.js';
import { onRedis } from './redis-ways.js';
import { objectWays, type Way } from './ways.js';

export interface SweepSettings {
  readonly seed: number;
  /** Only ways of this part. */
  readonly part?: Part['name'] | undefined;
  /** Only cases that match one of these, with commas between them; see `matches`. */
  readonly only?: string | undefined;
  /** Only so many of them, chosen by the seed. */
  readonly share?: number | undefined;
  /** Names of cases that are played before those, whatever the seed. */
  readonly first?: readonly string[] | undefined;
  /** No further batch begins after this, but for those that are played whatever the seed. */
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
/** Ways that get on with each other: what they need, and how many cases at once. */
const parts: readonly Part[] = [
  {
    name: 'objects',
    ways: [...objectWays, ...cancelledWays],
    agents: { 'agent-1': 2, 'agent-2': 2 },
    batch: 40,
  },
  { name: 'hosts', ways: hostWays, agents: { 'host-1': 1, 'host-2': 1, 'host-3': 1, 'host-4': 1 }, batch: 4 },
  {
    name: 'redis',
    ways: onRedis,
    agents: { 'agent-1': 2, 'agent-2': 2 },
    batch: 40,
    queue: 'redis',
  },
  { name: 'doubts', ways: doubtfulWays, agents: { 'agent-1': 2, 'agent-2': 2 }, batch: 40, hurried },
];
/** A case whose process others have hurt before it came to its point is tried again, at last alone. */
const TRIES = 4;

interface Part {
  readonly name: 'objects' | 'hosts' | 'redis' | 'doubts';
  readonly ways: readonly Way[];
  readonly agents: Readonly<Record<string, number>>;
  readonly batch: number;
  /** Default: PostgreSQL, which needs nothing more. */
  readonly queue?: 'redis';
  /** Kinds whose operations have less time than they should, in milliseconds. */
  readonly hurried?: Readonly<Record<string, number>>;
}

/** Every part in an arena of its own; those that have nothing to do are left out. */
export async function runSweep(settings: SweepSettings): Promise<SweepOutcome> {
  const { only, first = [] } = settings;
  const wanted = (way: Way) =>
    [...(only ?? '*').split(','), ...first].some((name) =>
      ['*', way.name].includes(name.split('/')[0] ?? ''),
    );
  const outcomes: SweepOutcome[] = [];
  for (const part of parts) {
    const ways = part.ways.filter(wanted);
    if (ways.length > 0 && part.name === (settings.part ?? part.name))
      outcomes.push(await runPart({ ...part, ways }, settings));
  }
  return {
    recorded: outcomes.flatMap(({ recorded }) => recorded),
    unreached: failpoints.filter((name) => outcomes.every(({ unreached }) => unreached.includes(name))),
    verdicts: outcomes.flatMap(({ verdicts }) => verdicts),
    left: outcomes.reduce((sum, { left }) => sum + left, 0),
    wrong: outcomes.flatMap(({ wrong }) => wrong),
    ms: outcomes.reduce((sum, { ms }) => sum + ms, 0),
  };
}

/** Two passes: the points of every way are recorded while nothing is hurt, then each is hit with everything that can befall it. */
async function runPart(part: Part, settings: SweepSettings): Promise<SweepOutcome> {
  const { note, seed } = settings;
  const { ways } = part;
  const began = performance.now();
  const random = new SeededRandom(seed);
  const scratch = scratchFolder('sweep');
  const signals = new Signals(scratch.path);
  const arena = await Arena.open({
    queue: part.queue ?? 'postgres',
    servers: SERVERS,
    agents: part.agents,
    seed,
    environment: { ...signals.environment, DOMUS_SWEEP_HURRIED: JSON.stringify(part.hurried ?? {}) },
  });
  let outcome: SweepOutcome | undefined;
  try {
    const stage = new Stage(arena, signals);
    await stage.prepare();
    const recorded = await record(stage, ways);
    const all = casesOf(recorded, part.queue);
    const fitting = all.filter(({ name }) => settings.only === undefined || matches(name, settings.only));
    const first = all.filter(({ name }) => settings.first?.includes(name));
    const others = shuffled(fitting, random).filter((one) => !first.includes(one));
    const cases = [...first, ...others.slice(0, settings.share)];
    note(`${ways.length} ways, ${all.length} cases, ${cases.length} of them now`);
    const { verdicts, left } = await playAll(stage, cases, part.batch, settings, began);
    const wrong = [
      ...forgotten(recorded),
      ...(await quiet(arena)),
      ...arena.misfortunes.map(({ at, program, how }) => `${program} ended by itself at ${at}: ${how}`),
    ];
    const passed = new Set(signals.crossings().map(({ point }) => point.split(':')[0]));
    // With only some ways it says nothing.
    const unreached = settings.only === undefined ? failpoints.filter((name) => !passed.has(name)) : [];
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

async function record(stage: Stage, ways: readonly Way[]): Promise<Recorded[]> {
  const { arena, signals } = stage;
  const runs = await Promise.allSettled(
    ways.map(async (way) => {
      const targetId = await way.prepare(stage);
      const since = Date.now();
      let from = since;
      await way.ask(stage, targetId, () => (from = Date.now()));
      const until = Date.now() + 60_000;
      for (;;) {
        const wrong = await judge(arena, way, targetId, since, { unhurt: true });
        if (wrong.length === 0) {
          await way.restore?.(stage, targetId);
          return { way, targetId, from };
        }
        if (Date.now() > until)
          throw new Error(`${way.name} is wrong though nothing was hurt: ${wrong.join('; ')}`);
        await delay(100);
      }
    }),
  );
  const failed = runs.flatMap((run) => (run.status === 'rejected' ? [String(run.reason)] : []));
  if (failed.length > 0) throw new Error(failed.join('\n'));
  // What a relay does after everything else.
  await delay(1_000);
  const crossings = signals.crossings();
  return runs.flatMap((run) =>
    run.status === 'fulfilled'
      ? [pointsOf(run.value.way, run.value.targetId, run.value.from, crossings)]
      : [],
  );
}

/** Steps that no way goes through: a definition has learnt something, and the ways have not. Of kinds whose plain way is here. */
function forgotten(recorded: readonly Recorded[]): string[] {
  const kinds = new Set(recorded.flatMap(({ way }) => (way.name === way.kind ? [way.kind] : [])));
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
  most: number,
  { note, first = [], mostMs = Infinity }: SweepSettings,
  began: number,
): Promise<{ verdicts: Verdict[]; left: number }> {
  const verdicts: Verdict[] = [];
  let todo = cases.map((one) => ({ one, tries: 0 }));
  for (;;) {
    const over = performance.now() - began > mostMs;
    const next = todo.find(({ one }) => !over || first.includes(one.name));
    if (!next) break;
    const size = next.tries === TRIES - 1 ? 1 : Math.ceil(most / 2 ** next.tries);
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
