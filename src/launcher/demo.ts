import { copyFileSync, existsSync, mkdirSync, renameSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type BootKit, buildBootKit } from '../boot-kit/index.js';
import type { LauncherConfig } from '../config/launcher.config.js';
import { PackageUnavailable } from '../debian-package/index.js';
import { type ApiClient, Refused } from './api-client.js';
import { ensureDefaultPool } from './bring-up.js';
import type { DataFolder } from './data-folder.js';
import { ownHostId } from './installation.js';
import { failed, missing } from './launcher-error.js';
import { until } from './process/process-table.js';

export interface DemoRequest {
  readonly folder: DataFolder;
  readonly client: ApiClient;
  /** Null where hosts are simulated: their guests boot from nothing. */
  readonly kit: BootKit | null;
}

interface Named {
  readonly id: string;
  readonly name: string;
}

interface Repository extends Named {
  readonly poolId: string;
}

interface Domain extends Named {
  readonly poolId: string;
  readonly state: string;
  readonly consoles: readonly { readonly id: string; readonly kind: string }[];
}

const mebibyte = 1024 * 1024;
const promptDeadlineMs = 180_000;
const runDeadlineMs = 60_000;

/** Kernel and root file system of the demo's guest: from the cache, or from Debian. */
export async function obtainBootKit(folder: DataFolder, config: LauncherConfig): Promise<BootKit> {
  try {
    return await buildBootKit({ cacheDir: folder.cache, allowDownload: !config.noInstall });
  } catch (error) {
    if (error instanceof PackageUnavailable) throw missing(error.message, { cause: error });
    throw error;
  }
}

/**
 * Finds or makes the domain `demo`, starts it unless it runs, and waits for the prompt on its serial console. All of
 * it through the API, as anybody could do it.
 */
export async function runDemo(request: DemoRequest): Promise<{ domainId: string; seconds: string }> {
  const { client } = request;
  const pool = await ensureDefaultPool(client);
  const domain = (await findDomain(client, pool.id)) ?? (await createDomain(request, pool.id));
  const log = serialLogOf(domain);
  const before = promptsIn(await log.read(client));
  const began = performance.now();
  const done = await bringToRun(client, domain.id);
  if (done === 'nothing') return { domainId: domain.id, seconds: '0' };
  const shown = (text: string) => (done === 'start' ? promptsIn(text) > before : showsPrompt(text));
  const reached = await until(async () => shown(await log.read(client)), promptDeadlineMs, 100);
  const seconds = (performance.now() - began) / 1_000;
  if (!reached)
    throw failed(`The domain demo (${domain.id}) shows no prompt after ${promptDeadlineMs / 1_000} s.`);
  return { domainId: domain.id, seconds: seconds.toFixed(1) };
}

const verbs: Readonly<Record<string, 'start' | 'resume'>> = {
  halted: 'start',
  crashed: 'start',
  paused: 'resume',
};

/**
 * Brings the domain to run from whatever state it is in, behind whatever is under way, and answers with what that took. An
 * installation that has just come back may not have heard of its guests yet: it is asked again for a while.
 */
async function bringToRun(client: ApiClient, id: string): Promise<'nothing' | 'start' | 'resume'> {
  const deadline = performance.now() + runDeadlineMs;
  const stateNow = async () => (await client.get<Domain>(`/v1/domains/${id}`)).state;
  let done: 'nothing' | 'start' | 'resume' = 'nothing';
  for (;;) {
    const state = await stateNow();
    if (state === 'running') return done;
    const verb = verbs[state];
    try {
      if (verb) {
        await client.complete(`/v1/domains/${id}/${verb}?onBusy=wait`, {}, runDeadlineMs);
        done = verb;
        continue;
      }
    } catch (error) {
      const away = error instanceof Refused && error.problem === 'host.unreachable';
      if (performance.now() > deadline || (!away && (await stateNow()) === state)) throw error;
    }
    if (performance.now() > deadline) throw failed(`The domain demo (${id}) is ${state}.`);
    await delay(200);
  }
}

/** Every boot of the guest says that it is ready and then shows a prompt; the log keeps those of earlier boots. */
export function promptsIn(log: string): number {
  const boots = log.split('GUEST-READY');
  return boots.slice(1).filter((boot) => boot.includes('/ # ')).length;
}

/** Whether the last boot has come as far as its prompt. */
export const showsPrompt = (log: string): boolean => /GUEST-READY(?!.*GUEST-READY).*\/ # /s.test(log);

function serialLogOf(domain: Domain): { read: (client: ApiClient) => Promise<string> } {
  const serial = domain.consoles.find(({ kind }) => kind === 'serial');
  if (!serial) throw failed(`The domain demo (${domain.id}) has no serial console to wait for.`);
  const path = `/v1/consoles/${serial.id}/log?tail=10000`;
  return {
    read: (client) =>
      client.text(path).catch((error: unknown) => {
        // A host that is just coming back cannot be asked yet.
        if (error instanceof Refused && error.problem.startsWith('host.')) return '';
        throw error;
      }),
  };
}

async function findDomain(client: ApiClient, poolId: string): Promise<Domain | undefined> {
  const found = await client.list<Domain>(`/v1/domains?filter=${encodeURIComponent('name = "demo"')}`);
  return found.find((domain) => domain.poolId === poolId);
}

async function createDomain(request: DemoRequest, poolId: string): Promise<Domain> {
  const { client, kit, folder } = request;
  const repositoryId = await ensureRepository(request, poolId);
  const boot = kit
    ? {
        kernel: { repositoryId, path: place(folder, kit.kernelPath) },
        initramfs: { repositoryId, path: place(folder, kit.initramfsPath) },
        commandLine: kit.commandLine,
      }
    : { kernel: { repositoryId, path: 'boot/vmlinuz' } };
  const operation = await client.complete('/v1/domains', {
    name: 'demo',
    poolId,
    vcpus: 1,
    memoryBytes: 256 * mebibyte,
    boot,
    nics: [{}],
    consoles: [{ kind: 'serial' }],
  });
  return client.get<Domain>(`/v1/domains/${operation.target.id}`);
}

async function ensureRepository({ client, folder, kit }: DemoRequest, poolId: string): Promise<string> {
  const found = await client.list<Repository>('/v1/storage-repositories');
  const known = found.find((repository) => repository.name === 'local' && repository.poolId === poolId);
  if (known) return known.id;
  const operation = await client.complete('/v1/storage-repositories', {
    name: 'local',
    poolId,
    kind: 'directory',
    path: folder.storage,
    create: true,
    // The folder is this machine's; simulated hosts share one storage.
    ...(kit ? { hostId: ownHostId(folder) } : { shared: true }),
  });
  return operation.target.id;
}

/** Puts a file of the kit into the repository, whole or not at all, and answers with its path there. */
function place(folder: DataFolder, file: string): string {
  const path = join('boot', basename(file));
  const target = join(folder.storage, path);
  if (existsSync(target) && statSync(target).size === statSync(file).size) return path;
  mkdirSync(dirname(target), { recursive: true, mode: 0o700 });
  copyFileSync(file, `${target}.${process.pid}`);
  renameSync(`${target}.${process.pid}`, target);
  return path;
}
