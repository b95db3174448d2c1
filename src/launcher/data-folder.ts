import { createHash, randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, realpathSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { failed } from './launcher-error.js';
import { ensurePrivateFolder, ensureSecretFile, hasCode } from './private-file.js';

/** The kernel takes 107 bytes for a socket's path; what we make in the runtime folder is at most this long. */
const longestSocketName = '/00000000-0000-7000-8000-000000000000.console'.length;

/** Where everything of one installation lies. Every path is absolute and without symbolic links. */
export interface DataFolder {
  readonly path: string;
  readonly logs: string;
  readonly run: string;
  readonly cache: string;
  readonly storage: string;
  readonly agent: string;
  readonly adminTokenFile: string;
  readonly secretKeyFile: string;
  readonly serverFile: string;
}

export function dataFolder(given: string): DataFolder {
  const path = realPath(resolve(given));
  const run = join(path, 'run');
  return {
    path,
    run,
    logs: join(path, 'logs'),
    cache: join(path, 'cache'),
    storage: join(path, 'storage'),
    agent: join(path, 'agent'),
    adminTokenFile: join(path, 'admin.token'),
    secretKeyFile: join(path, 'secret.key'),
    serverFile: join(run, 'server.json'),
  };
}

/** One folder has one name, however it was spelt: processes are found again by it. */
function realPath(path: string): string {
  try {
    return realpathSync(path);
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return path;
    throw error;
  }
}

/** Makes what is missing of the folder, with its secrets. */
export function prepareDataFolder(given: string): DataFolder {
  mkdirSync(resolve(given), { recursive: true, mode: 0o700 });
  const folder = dataFolder(given);
  ensurePrivateFolder(folder.path);
  for (const path of [folder.logs, folder.run, folder.cache]) ensurePrivateFolder(path);
  ensureSecretFile(folder.adminTokenFile, () => `domus_${randomBytes(32).toString('base64url')}\n`);
  ensureSecretFile(folder.secretKeyFile, () => randomBytes(32));
  return folder;
}

export const readAdminToken = (folder: DataFolder): string =>
  readFileSync(folder.adminTokenFile, 'utf8').trim();

/**
 * Where sockets are made: in the data folder if its path is short enough, otherwise in a folder named after it where
 * the system keeps such things.
 */
export function runtimeFolderFor(dataPath: string, uid: number, runtimeHome: string | undefined): string {
  const own = join(dataPath, 'run');
  if (Buffer.byteLength(own) + longestSocketName <= 107) return own;
  const name = `domus-${uid}-${createHash('sha256').update(dataPath).digest('hex').slice(0, 8)}`;
  const candidates = [runtimeHome, tmpdir(), '/tmp'].filter((home) => home !== undefined);
  const home = candidates.find((each) => Buffer.byteLength(join(each, name)) + longestSocketName <= 107);
  return join(home ?? '/tmp', name);
}

/**
 * Refuses a folder that somebody else laid there first. One outside the data folder is chosen once: the sockets of running
 * guests lie there, and another login may have another XDG_RUNTIME_DIR.
 */
export function prepareRuntimeFolder(folder: DataFolder, runtimeHome: string | undefined): string {
  const uid = process.getuid?.() ?? 0;
  const chosen = runtimeFolderFor(folder.path, uid, runtimeHome);
  if (chosen === folder.run) return ensurePrivateFolder(chosen, uid);
  const note = join(folder.run, 'runtime-folder');
  const noted = ensureSecretFile(note, () => chosen).toString();
  // A note that came with a copy of the folder names the original's; one from before a reboot may name a login that is over.
  if (basename(noted) === basename(chosen) && existsSync(dirname(noted)))
    return ensurePrivateFolder(noted, uid);
  writeFileSync(note, chosen, { mode: 0o600 });
  return ensurePrivateFolder(chosen, uid);
}

/** Whether a folder plays simulated hosts is settled by its first start: one database cannot mix them with real ones. */
export function settleMode(folder: DataFolder, simulated: boolean): void {
  const file = join(folder.path, 'domus.json');
  try {
    writeFileSync(file, `${JSON.stringify({ simulated })}\n`, { flag: 'wx', mode: 0o600 });
  } catch (error) {
    if (!hasCode(error, 'EEXIST')) throw error;
    if (isSimulated(folder) === simulated) return;
    throw failed(
      simulated
        ? `${folder.path} holds real hosts; name another folder with --data for simulated ones.`
        : `${folder.path} holds simulated hosts; add --simulate, or name another folder with --data.`,
    );
  }
}

export function isSimulated(folder: DataFolder): boolean {
  try {
    const mode = JSON.parse(readFileSync(join(folder.path, 'domus.json'), 'utf8')) as { simulated?: boolean };
    return mode.simulated === true;
  } catch {
    return false;
  }
}
