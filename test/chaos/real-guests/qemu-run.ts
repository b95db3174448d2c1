import { copyFileSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { identify, isAlive, type ProcessIdentity } from '../../src/launcher/process/process-table.js';
import { testBootKit } from '../support/boot-kit.js';
import { eventually } from '../support/eventually.js';
import { qemusOf } from '../support/qemus-of.js';
import { SeededRandom } from '../support/seeded-random.js';
import { Arena } from './arena.js';
import { type Violation } from './history-checker.js';
import { keepEvidence } from './keep-evidence.js';

export interface QemuChaosSettings {
  readonly seed: number;
  /** Of agents, servers and guests together. */
  readonly kills: number;
  /** Real guests, spread over two hosts; the first of each host is the one that is killed. */
  readonly guests: number;
  readonly note: (line: string) => void;
}

export interface QemuChaosOutcome {
  readonly kills: Readonly<Record<string, number>>;
  readonly violations: readonly Violation[];
  /** Seconds that the guests that nobody killed have counted. */
  readonly ticks: readonly number[];
  /** From the kill of an agent until it had its guests back and listened again. */
  readonly agentBackMs: readonly number[];
}

interface Guest {
  readonly id: string;
  readonly consoleId: string;
  readonly hostId: string;
  process: ProcessIdentity;
}

interface DomainView {
  readonly id: string;
  readonly state: string;
  readonly pid: number | null;
  readonly hostId: string | null;
  readonly consoles: readonly { readonly id: string }[];
}

const BOOT_MS = 240_000;

/** Real guests under TCG that count their seconds aloud, and `kill -9` of everything around them. */
export async function runQemuChaos(settings: QemuChaosSettings): Promise<QemuChaosOutcome> {
  const { seed } = settings;
  const random = new SeededRandom(seed);
  const arena = await Arena.open({ driver: 'qemu', agents: { left: 1, right: 1 }, seed });
  let outcome: QemuChaosOutcome;
  try {
    outcome = await run(arena, settings, random);
    if (outcome.violations.length > 0) keepEvidence(arena, seed, outcome.violations);
  } catch (error) {
    keepEvidence(arena, seed, []);
    await arena.close();
    throw error;
  }
  const left = (await arena.close()).map((pid): Violation => ({
    invariant: 'I4 nothing left',
    what: `process ${pid} had to be ended by force`,
    evidence: [],
  }));
  return { ...outcome, violations: [...outcome.violations, ...left] };
}

async function run(
  arena: Arena,
  { kills, note, guests: count }: QemuChaosSettings,
  random: SeededRandom,
): Promise<QemuChaosOutcome> {
  const guests = await startGuests(arena, count);
  note(`${guests.length} guests run and count`);
  const killed: Record<string, number> = {};
  const agentBackMs: number[] = [];
  const victims = new Set(guests.slice(0, 2));
  for (let done = 0; done < kills; done += 1) {
    const what = random.weighted({ agent: 60, server: 25, guest: 15 });
    killed[what] = (killed[what] ?? 0) + 1;
    if (what === 'agent') {
      const agent = random.of([...arena.agents.values()]);
      const began = performance.now();
      await agent.kill();
      await agent.start();
      agentBackMs.push(performance.now() - began);
    } else if (what === 'server') {
      const server = random.of([...arena.servers.values()]);
      await server.kill();
      await server.start();
    } else await killGuest(arena, random.of([...victims]));
    if ((done + 1) % 10 === 0) note(`${done + 1} kills`);
  }
  const violations = await judge(arena, guests, victims);
  const ticks = await Promise.all(
    guests.filter((one) => !victims.has(one)).map(async (one) => (await ticksOf(arena, one)).length),
  );
  for (const { program, how } of arena.misfortunes)
    violations.push({
      invariant: 'I4 nothing left',
      what: `${program} ended by itself: ${how}`,
      evidence: [],
    });
  return { kills: killed, violations, ticks, agentBackMs };
}

const read = (arena: Arena, id: string): Promise<DomainView> => arena.api.ask('GET', `/v1/domains/${id}`);

async function startGuests(arena: Arena, count: number): Promise<Guest[]> {
  const kit = await testBootKit();
  const repositories = new Map<string, string>();
  for (const host of arena.hosts) {
    const path = join(arena.folder, `images-${host.name}`);
    mkdirSync(path);
    copyFileSync(kit.kernelPath, join(path, 'kernel'));
    copyFileSync(kit.initramfsPath, join(path, 'initramfs'));
    const input = { name: host.name, poolId: arena.poolId, path, hostId: host.id };
    const made = await operate(arena, 'POST', '/v1/storage-repositories', input);
    repositories.set(host.id, made);
  }
  const guests: Guest[] = [];
  for (let made = 0; made < count; made += 1) {
    const host = arena.hosts[made % arena.hosts.length];
    const repositoryId = repositories.get(host?.id ?? '');
    const boot = {
      kernel: { repositoryId, path: 'kernel' },
      initramfs: { repositoryId, path: 'initramfs' },
      commandLine: `${kit.commandLine} quiet ticker`,
    };
    const memoryBytes = 128 << 20;
    const input = { name: `guest-${made + 1}`, poolId: arena.poolId, memoryBytes, boot };
    const id = await operate(arena, 'POST', '/v1/domains', input);
    await operate(arena, 'POST', `/v1/domains/${id}/start`);
    const { consoles, hostId, pid } = await read(arena, id);
    const process = identify(pid ?? 0);
    if (!process) throw new Error('A guest was started and has no process.');
    guests.push({ id, consoleId: consoles[0]?.id ?? '', hostId: hostId ?? '', process });
  }
  for (const guest of guests)
    await eventually(async () => (await ticksOf(arena, guest)).length >= 2, {
      within: BOOT_MS,
      what: 'that a guest counts',
    });
  return guests;
}

/** The id of what was made or changed. */
async function operate(arena: Arena, method: string, path: string, body?: unknown): Promise<string> {
  const { id, target } = await arena.api.ask<{ id: string; target: { id: string } }>(method, path, body);
  const ended = await arena.api.ended(id, 120_000);
  if (ended.state !== 'succeeded') throw new Error(`${method} ${path}: ${JSON.stringify(ended)}`);
  return target.id;
}

async function ticksOf(arena: Arena, { consoleId }: Guest): Promise<number[]> {
  const answer = await arena.api
    .once('GET', `/v1/consoles/${consoleId}/log?tail=10000`)
    .catch(() => undefined);
  if (answer?.status !== 200) return [];
  return [...String(answer.body['text']).matchAll(/tick (\d+)\r?\n/g)].map(([, tick]) => Number(tick));
}

/** Its QEMU dies; Domus says so, and starts it again when it is told to. */
async function killGuest(arena: Arena, guest: Guest): Promise<void> {
  process.kill(guest.process.pid, 'SIGKILL');
  await eventually(async () => (await read(arena, guest.id)).state === 'crashed', {
    within: 60_000,
    what: 'that the killed guest is crashed',
  });
  await operate(arena, 'POST', `/v1/domains/${guest.id}/start`);
  const found = identify((await read(arena, guest.id)).pid ?? 0);
  if (!found) throw new Error('A guest was started and has no process.');
  guest.process = found;
}

async function judge(
  arena: Arena,
  guests: readonly Guest[],
  victims: ReadonlySet<Guest>,
): Promise<Violation[]> {
  const violations: Violation[] = [];
  const say = (what: string, ...evidence: unknown[]) =>
    violations.push({ invariant: 'I5 inventory is true', what, evidence });
  for (const guest of guests) {
    const before = (await ticksOf(arena, guest)).length;
    await eventually(async () => (await read(arena, guest.id)).state === 'running', { within: 60_000 });
    const now = await read(arena, guest.id);
    if (!isAlive(guest.process)) say('a guest has died', guest);
    if (now.pid !== guest.process.pid) say('a guest has another pid', guest, now);
    if (now.hostId !== guest.hostId) say('a guest is said to be elsewhere', guest, now);
    if (qemusOf(guest.id).length > 1) say('a guest runs twice', guest, qemusOf(guest.id));
    if (victims.has(guest)) continue;
    const counted = await eventually(
      async () => {
        const ticks = await ticksOf(arena, guest);
        return ticks.length > before && ticks;
      },
      { within: 60_000, what: 'that a guest goes on counting' },
    );
    const missed = counted.findIndex((tick, at) => tick !== at + 1);
    if (missed >= 0)
      say('a guest has missed a second', guest, counted.slice(Math.max(0, missed - 2), missed + 2));
  }
  return violations;
}
