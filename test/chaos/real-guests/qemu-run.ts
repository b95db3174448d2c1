import { SeededRandom } from '../../support/seeded-random.js';
import { scratchFolder } from '../../support/scratch-folder.js';
import { Arena } from '../arena.js';
import {
  budgetsInForce,
  type ChaosOutcome,
  type ChaosSettings,
  hurtAndJudge,
  SERVERS,
} from '../chaos-run.js';
import { type Violation } from '../history-checker.js';
import { keepEvidence } from '../keep-evidence.js';
import { type Hand, type Victim } from '../nemesis.js';
import { World } from '../world.js';
import { GuestObserver } from './guest-observer.js';
import { judgeSteadyGuests, startSteadyGuests, ticksOf } from './steady-guests.js';

export interface QemuChaosSettings extends Omit<ChaosSettings, 'hosts'> {
  /** Linux guests that nobody touches, beside those that the load works on. */
  readonly steady: number;
}

export interface QemuChaosOutcome extends ChaosOutcome {
  /** Seconds that each guest has counted that nobody touched. */
  readonly ticks: readonly number[];
  /** From the kill of an agent until it had its guests back and listened again. */
  readonly agentBackMs: readonly number[];
}

/** Each has one host with the real QEMU. */
const AGENTS = { left: 1, right: 1 };
/** Machines that stand at their firmware's word that there is nothing to boot. Each begins with a second of emulated work. */
const DOMAINS = 10;
const CLIENTS = 4;
const LARGE_BYTES = 64 << 20;
/** Above all agents: what outlives them is real here. */
const weights: Readonly<Record<Victim, number>> = {
  ...{ agent: 60, guest: 15, api: 8, worker: 8, redis: 3, flush: 2, postgres: 4 },
};
/** A process is seen to be gone when its socket closes, by an observer who must get his turn on a machine that is at its limit. */
const ENDS_SEEN_WITHIN_MS = 1_000;

/** The run on played hosts, with real QEMU under TCG instead: the same load, kills and judgement, and guests that count their seconds. */
export async function runQemuChaos(settings: QemuChaosSettings): Promise<QemuChaosOutcome> {
  const { seed, queue, note } = settings;
  const random = new SeededRandom(seed);
  const scratch = scratchFolder('traced');
  const observer = new GuestObserver(scratch.path);
  const { 'api-1': one, 'api-2': two, 'worker-1': three, 'worker-2': four } = SERVERS;
  const arena = await Arena.open({
    ...{ driver: 'qemu', agents: AGENTS, queue, seed },
    servers: { 'api-1': one, 'api-2': two, 'worker-1': three, 'worker-2': four },
    environment: { ...budgetsInForce, ...observer.environment },
  });
  let outcome: Omit<QemuChaosOutcome, 'violations'> & { violations: Violation[] };
  try {
    observer.watch(arena);
    const guests = await startSteadyGuests(arena, settings.steady);
    note(`${guests.length} guests count`);
    const spared = new Set(guests.map(({ id }) => id));
    const hand: Hand = {
      living: (host) => observer.living(host).filter((id) => !spared.has(id)),
      kill: (host, domainId) => observer.kill(host, domainId),
    };
    const hurt = await hurtAndJudge(arena, { ...settings, hosts: 2 }, random, {
      world: new World(arena.poolId, [], { domains: DOMAINS, volumes: 0 }, LARGE_BYTES),
      ...{ clients: CLIENTS, crowd: false, endsSeenWithinMs: ENDS_SEEN_WITHIN_MS },
      nemesis: { weights, hand },
    });
    outcome = {
      ...hurt,
      violations: [...hurt.violations, ...observer.violations, ...(await judgeSteadyGuests(arena, guests))],
      ticks: await Promise.all(guests.map(async (guest) => (await ticksOf(arena, guest)).length)),
      agentBackMs: backAfter(hurt.history.clients, 'agent'),
    };
    if (outcome.violations.length > 0) keepEvidence(arena, seed, outcome.violations);
  } catch (error) {
    keepEvidence(arena, seed, []);
    await arena.close();
    throw error;
  } finally {
    observer.close();
  }
  const left = (await arena.close()).map((pid): Violation => ({
    invariant: 'I4 nothing left',
    what: `process ${pid} had to be ended by force`,
    evidence: [],
  }));
  scratch.remove();
  return { ...outcome, violations: [...outcome.violations, ...left] };
}

/** Of each kill of such a part, until it was ready again. */
function backAfter(clients: ChaosOutcome['history']['clients'], what: Victim): number[] {
  const since = new Map<string, number>();
  return clients.flatMap((entry) => {
    if (entry.kind === 'fault' && entry.what === what) since.set(entry.name, entry.at);
    if (entry.kind !== 'healed' || entry.what !== what) return [];
    return [entry.at - (since.get(entry.name) ?? entry.at)];
  });
}
