import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { SeededRandom } from '../support/seeded-random.js';
import { Arena } from './arena.js';
import { Crowd } from './crowd.js';
import { type BudgetsInForce, type History, HistoryWriter } from './history.js';
import { checkHistory, isOfInventory, type Violation } from './history-checker.js';
import { keepEvidence } from './keep-evidence.js';
import { Load } from './load.js';
import { Nemesis, type Victim } from './nemesis.js';
import { resolveUnknowable } from './somebodys-word.js';
import { Subscriber } from './subscriber.js';
import { Witness } from './witness.js';
import { World } from './world.js';

export interface ChaosSettings {
  readonly seed: number;
  readonly kills: number;
  readonly operations: number;
  readonly hosts: number;
  readonly queue: 'postgres' | 'redis';
  /** After so long the load ends, however little was done. */
  readonly deadlineMs: number;
  readonly note: (line: string) => void;
  /** Somebody wants no more of it: what was done until then is judged. */
  readonly enough?: AbortSignal;
}

export interface ChaosOutcome {
  readonly settings: ChaosSettings;
  readonly history: History;
  readonly violations: readonly Violation[];
  readonly kills: ReadonlyMap<Victim, number>;
  readonly recoveryMs: readonly number[];
  readonly refusals: ReadonlyMap<string, number>;
  /** Of those who come many at once. */
  readonly crowd: { readonly accepted: number; readonly refused: number };
  /** From calm until the inventory was true. */
  readonly resyncMs: number;
  readonly streamBreaks: number;
  readonly loadMs: number;
  /** Why the load or the kills are fewer than were wanted: such a run proves nothing of the rest. */
  readonly cutShort: string | undefined;
  /** From the last part's return until nothing was under way and the inventory was true. */
  readonly calmMs: number;
}

const CALM_MS = 60_000;
/** How long an inventory may be untrue that no event has put right, and how often it is looked at here. */
const RESYNC_MS = 30_000 + 1_000;
/** So small that the load comes to their end. */
const BUDGETS: BudgetsInForce = { host: 12, storageRepository: 8, caller: 24 };
export const budgetsInForce = {
  DOMUS_BUDGET_HOST: String(BUDGETS.host),
  DOMUS_BUDGET_REPOSITORY: String(BUDGETS.storageRepository),
  DOMUS_BUDGET_CALLER: String(BUDGETS.caller),
};
export const SERVERS = {
  'api-1': 'api,link',
  'api-2': 'api,link',
  'api-3': 'api,link',
  'worker-1': 'worker',
  'worker-2': 'worker',
  'worker-3': 'worker',
};

/** Load and kills over one arena, then calm, then the judgement. Leaves nothing but what it answers with. */
export async function runChaos(settings: ChaosSettings): Promise<ChaosOutcome> {
  const random = new SeededRandom(settings.seed);
  const agents = Math.min(4, Math.max(1, Math.floor(settings.hosts / 2)));
  const arena = await Arena.open({
    queue: settings.queue,
    servers: SERVERS,
    agents: Object.fromEntries(
      Array.from({ length: agents }, (_, at) => [
        `agent-${at + 1}`,
        Math.floor(settings.hosts / agents) + (at < settings.hosts % agents ? 1 : 0),
      ]),
    ),
    seed: settings.seed,
    environment: budgetsInForce,
  });
  let outcome: Omit<ChaosOutcome, 'violations'> & { violations: Violation[] };
  try {
    outcome = await hurtAndJudge(arena, settings, random, {
      world: new World(arena.poolId, await makeRepositories(arena), { domains: 60, volumes: 12 }),
      clients: 16,
      crowd: true,
    });
    if (outcome.violations.length > 0) keepEvidence(arena, settings.seed, outcome.violations);
  } catch (error) {
    keepEvidence(arena, settings.seed, []);
    await arena.close();
    throw error;
  }
  const left = await arena.close();
  const late = left.map((pid): Violation => ({
    invariant: 'I4 nothing left',
    what: `process ${pid} had to be ended by force`,
    evidence: [],
  }));
  return { ...outcome, violations: [...outcome.violations, ...late] };
}

/** What is different from run to run. */
export interface Field {
  readonly world: World;
  readonly clients: number;
  /** Beside them many at once, more than any budget. */
  readonly crowd: boolean;
  readonly nemesis?: ConstructorParameters<typeof Nemesis>[4];
  readonly endsSeenWithinMs?: number;
}

/** Load and kills, then calm, then the judgement. The arena's servers have `SERVERS` and the budgets. */
export async function hurtAndJudge(
  arena: Arena,
  settings: ChaosSettings,
  random: SeededRandom,
  field: Field,
) {
  const { note, kills, operations } = settings;
  mkdirSync(join(arena.folder, 'history'), { recursive: true });
  const history = new HistoryWriter(join(arena.folder, 'history', 'clients.jsonl'));
  const { world } = field;
  const load = new Load({
    api: arena.api,
    history,
    random: random.fork(),
    world,
    operations,
    deadlineMs: settings.deadlineMs,
    clients: field.clients,
  });
  const [head] = await arena.rows<{ last: number }>('select last::float8 as last from event_head');
  const subscriber = new Subscriber(arena.api, head?.last ?? 0, history, (event) => load.hear(event));
  const nemesis = new Nemesis(arena, history, random.fork(), new Map(Object.entries(SERVERS)), field.nemesis);
  const witness = new Witness(arena, {
    folder: join(arena.folder, 'history'),
    budgets: BUDGETS,
    ...(field.endsSeenWithinMs !== undefined && { endsSeenWithinMs: field.endsSeenWithinMs }),
  });
  await witness.watch((at, ms) => history.add({ kind: 'stall', at, ms }));
  note(`everything runs; load and kills begin`);

  const began = performance.now();
  let loading = true;
  const loaded = load.run().finally(() => (loading = false));
  settings.enough?.addEventListener('abort', () => load.stop());
  const crowdCaller = field.crowd ? await arena.callerNamed('crowd') : undefined;
  const crowd =
    crowdCaller &&
    new Crowd({
      api: crowdCaller,
      history,
      random: random.fork(),
      repositoryIds: world.repositoryIds,
      size: 3 * BUDGETS.caller,
      goesOn: () => loading,
    });
  const crowding = crowd?.run();
  let said = began;
  while (loading) {
    // Spread over the operations: the n-th kill comes once its share of them has been accepted.
    const due = nemesis.total < kills && load.accepted >= (nemesis.total * operations) / Math.max(1, kills);
    if (due) await nemesis.strike();
    else await delay(10);
    if (performance.now() - said < 15_000) continue;
    said = performance.now();
    const rate = (load.accepted / (said - began)) * 1_000;
    note(`${load.accepted} operations accepted (${rate.toFixed(0)}/s), ${nemesis.total} kills`);
  }
  await loaded;
  const loadMs = performance.now() - began;
  await nemesis.calm();
  await crowding;
  crowdCaller?.close();
  history.add({ kind: 'calm', at: Date.now() });
  note(`${load.accepted} operations accepted, ${nemesis.total} kills; waiting for calm`);

  const calmBegan = performance.now();
  let resyncMs = Infinity;
  const judge = async () => {
    const looked = performance.now() - calmBegan;
    const found = await witness.take(history.entries);
    const violations = checkHistory(found);
    if (!violations.some(isOfInventory)) resyncMs = Math.min(resyncMs, looked);
    return { history: found, violations };
  };
  await resolveUnknowable(arena);
  let verdict = await judge();
  while (verdict.violations.length > 0 && performance.now() - calmBegan < CALM_MS) {
    await delay(500);
    await resolveUnknowable(arena);
    verdict = await judge();
  }
  const calmMs = performance.now() - calmBegan;
  if (resyncMs > RESYNC_MS && resyncMs < Infinity)
    verdict.violations.push({
      invariant: 'I5 inventory is true',
      what: `the inventory was true only ${resyncMs.toFixed(0)} ms after everything was calm`,
      evidence: [],
    });
  witness.close();
  subscriber.stop();
  history.close();
  writeFileSync(
    join(arena.folder, 'history', 'inventory.json'),
    JSON.stringify({ inventory: verdict.history.inventory, leftovers: verdict.history.leftovers }),
  );
  return {
    settings,
    ...verdict,
    kills: nemesis.counts,
    recoveryMs: nemesis.recoveryMs,
    refusals: load.refusals,
    crowd: { accepted: crowd?.accepted ?? 0, refused: crowd?.refused ?? 0 },
    resyncMs,
    streamBreaks: subscriber.breaks,
    loadMs,
    calmMs,
    cutShort: cutShort(settings, load.accepted, nemesis.total),
  };
}

function cutShort({ operations, kills, enough }: ChaosSettings, accepted: number, killed: number) {
  if (accepted >= operations && killed >= kills) return undefined;
  const why = enough?.aborted ? 'it was ended by hand' : 'its time was over';
  return `${accepted} of ${operations} operations and ${killed} of ${kills} kills: ${why}`;
}

/** One that is shared by the hosts of each agent, as their simulated storage is. */
async function makeRepositories(arena: Arena): Promise<string[]> {
  const ids: string[] = [];
  for (const agent of arena.agents.keys()) {
    const host = arena.hosts.find((one) => one.agent === agent);
    const input = {
      name: `storage-${agent}`,
      poolId: arena.poolId,
      path: `/srv/${agent}`,
      create: true,
      hostId: host?.id,
      shared: true,
    };
    const made = await arena.api.ask<{ id: string; target: { id: string } }>(
      'POST',
      '/v1/storage-repositories',
      input,
    );
    const { state } = await arena.api.ended(made.id);
    if (state !== 'succeeded') throw new Error(`The repository of ${agent} could not be made.`);
    ids.push(made.target.id);
  }
  return ids;
}
