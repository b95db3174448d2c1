import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chownSync, existsSync, mkdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { failed, missing } from '../launcher-error.js';
import { ensurePrivateFolder, ensureSecretFile } from '../private-file.js';
import { type Account, chooseAccount, parseUsers } from './account.js';
import { copyEmbedded, prepareEmbedded } from './binaries.js';
import type { Cluster } from './cluster.js';
import { longestSocketFolder } from './settings.js';

/** Where a cluster goes when PostgreSQL has to run as another user, who cannot enter the data folder. */
const usualElsewhere = '/var/lib/domus';
/** In `DIR/postgres`: says that the cluster lies elsewhere, and where. It stays there, and so does its owner. */
const signpost = (dataDir: string): string => join(dataDir, 'postgres', 'elsewhere');

/**
 * The embedded cluster of one data folder, for whoever runs Domus here.
 * `socketFolder` is made if it is not there; the folders above it are the caller's.
 */
export function embeddedCluster(place: {
  dataDir: string;
  socketFolder: string;
  logFile: string;
  durable?: boolean;
  /** Found out where absent; tests name one. */
  account?: Account;
  /** Tests name one. */
  elsewhere?: string;
}): Cluster {
  const { logFile, durable = true } = place;
  const folder = ensurePrivateFolder(join(place.dataDir, 'postgres'));
  const account = settledAccount(place.dataDir) ?? place.account ?? findAccount();
  if (account.kind !== 'user') {
    if (Buffer.byteLength(place.socketFolder) > longestSocketFolder) {
      throw failed(`${place.socketFolder} is too long a path for a socket.`);
    }
    const socketFolder = ensurePrivateFolder(place.socketFolder);
    const binaries = prepareEmbedded(join(place.dataDir, 'cache'));
    return { folder, socketFolder, logFile, durable, binaries, account };
  }
  if (existsSync(join(folder, 'data'))) {
    throw missing(
      `The database in ${place.dataDir} was made in a user namespace, which this machine forbids now; set DATABASE_URL.`,
    );
  }
  const { elsewhere = usualElsewhere } = place;
  mkdirSync(elsewhere, { recursive: true, mode: 0o755 });
  const home = ensureSecretFile(signpost(place.dataDir), () =>
    join(elsewhere, randomBytes(6).toString('hex')),
  ).toString();
  return {
    folder: ownedFolder(home, account),
    socketFolder: ownedFolder(join(home, 's'), account),
    logFile,
    durable,
    binaries: copyEmbedded(join(elsewhere, 'bin')),
    account,
  };
}

/** The folder of a data folder's cluster, for those who only look for its process or stop it. */
export function clusterFolderOf(dataDir: string): string {
  return signpostedHome(dataDir) ?? join(dataDir, 'postgres');
}

function signpostedHome(dataDir: string): string | undefined {
  try {
    return readFileSync(signpost(dataDir), 'utf8');
  } catch {
    return undefined;
  }
}

/** Whoever owns a cluster that lies elsewhere goes on running it, also where namespaces are allowed by now. */
function settledAccount(dataDir: string): Account | undefined {
  const home = signpostedHome(dataDir);
  const owner = home === undefined ? undefined : statSync(home, { throwIfNoEntry: false });
  return owner && { kind: 'user', uid: owner.uid, gid: owner.gid };
}

function ownedFolder(path: string, owner: { uid: number; gid: number }): string {
  if (!existsSync(path)) {
    mkdirSync(path, { mode: 0o700 });
    chownSync(path, owner.uid, owner.gid);
  }
  return ensurePrivateFolder(path, owner.uid);
}

export function findAccount(): Account {
  const [uid, gid] = [process.getuid?.() ?? 0, process.getgid?.() ?? 0];
  const users = parseUsers(readFileSync('/etc/passwd', 'utf8'));
  const account = chooseAccount({ uid, gid, users, canMap: uid === 0 && canMapUsers() });
  if (account) return account;
  throw missing('PostgreSQL refuses to run as root and there is no other user here; set DATABASE_URL.');
}

function canMapUsers(): boolean {
  try {
    execFileSync('unshare', ['--map-user=65534', '--map-group=65534', '--', '/bin/true'], {
      stdio: 'ignore',
      timeout: 5_000,
    });
    return true;
  } catch {
    return false;
  }
}
