import { copyFileSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { identify, isAlive, type ProcessIdentity } from '../../../src/launcher/process/process-table.js';
import { testBootKit } from '../../support/boot-kit.js';
import { eventually } from '../../support/eventually.js';
import { qemusOf } from '../../support/qemus-of.js';
import { type Arena } from '../arena.js';
import { type Violation } from '../history-checker.js';

/** A Linux that counts its seconds aloud, and that nobody touches: whatever befalls what is around it, it misses none. */
export interface SteadyGuest {
  readonly id: string;
  readonly consoleId: string;
  readonly hostId: string;
  readonly process: ProcessIdentity;
}

interface DomainView {
  readonly id: string;
  readonly state: string;
  readonly pid: number | null;
  readonly hostId: string | null;
  readonly consoles: readonly { readonly id: string }[];
}

const BOOT_MS = 240_000;

const read = (arena: Arena, id: string): Promise<DomainView> => arena.api.ask('GET', `/v1/domains/${id}`);

/** Spread over the hosts, and counting. */
export async function startSteadyGuests(arena: Arena, count: number): Promise<SteadyGuest[]> {
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
  const guests: SteadyGuest[] = [];
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

export async function ticksOf(arena: Arena, { consoleId }: SteadyGuest): Promise<number[]> {
  const answer = await arena.api
    .once('GET', `/v1/consoles/${consoleId}/log?tail=10000`)
    .catch(() => undefined);
  if (answer?.status !== 200) return [];
  return [...String(answer.body['text']).matchAll(/tick (\d+)\r?\n/g)].map(([, tick]) => Number(tick));
}

/** Each is the same process with the same clock, and said to be where it is. */
export async function judgeSteadyGuests(arena: Arena, guests: readonly SteadyGuest[]): Promise<Violation[]> {
  const violations: Violation[] = [];
  const say = (what: string, ...evidence: unknown[]) =>
    violations.push({ invariant: 'I6 agents touch no guest', what, evidence });
  for (const guest of guests) {
    const before = (await ticksOf(arena, guest)).length;
    await eventually(async () => (await read(arena, guest.id)).state === 'running', { within: 60_000 });
    const now = await read(arena, guest.id);
    if (!isAlive(guest.process)) say('a guest has died', guest);
    if (now.pid !== guest.process.pid) say('a guest has another pid', guest, now);
    if (now.hostId !== guest.hostId) say('a guest is said to be elsewhere', guest, now);
    if (qemusOf(guest.id).length > 1) say('a guest runs twice', guest, qemusOf(guest.id));
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
