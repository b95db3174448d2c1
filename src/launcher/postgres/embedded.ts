import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chownSync, existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { failed, missing } from '../launcher-error.js';
import { ensurePrivateFolder } from '../private-file.js';
import { type Account, chooseAccount, parseUsers } from './account.js';
import { copyEmbedded, prepareEmbedded } from './binaries.js';
import type { Cluster } from './cluster.js';
import { longestSocketFolder } from './settings.js';

/** Where a cluster goes when PostgreSQL has to run as another user, who cannot enter the data folder. */
const usualElsewhere = '/var/lib/domus';

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
  const account = place.account ?? findAccount();
  const { logFile, durable = true, elsewhere = usualElsewhere } = place;
  if (account.kind !== 'user') {
    const folder = ensurePrivateFolder(join(place.dataDir, 'postgres'));
    if (Buffer.byteLength(place.socketFolder) > longestSocketFolder) {
      throw failed(`${place.socketFolder} is too long a path for a socket.`);
    }
    const socketFolder = ensurePrivateFolder(place.socketFolder);
    const binaries = prepareEmbedded(join(place.dataDir, 'cache'));
    return { folder, socketFolder, logFile, durable, binaries, account };
  }
  if (existsSync(join(place.dataDir, 'postgres', 'data'))) {
    throw missing(
      `The database in ${place.dataDir} was made in a user namespace, which this machine forbids now; set DATABASE_URL.`,
    );
  }
  const home = homeElsewhere(place.dataDir, elsewhere);
  mkdirSync(elsewhere, { recursive: true, mode: 0o755 });
  const folder = ownedFolder(home, account);
  const socketFolder = ownedFolder(join(home, 's'), account);
  return { folder, socketFolder, logFile, durable, binaries: copyEmbedded(join(elsewhere, 'bin')), account };
}

/** The folder of a data folder's cluster, for those who only look for its process or stop it. */
export function clusterFolderOf(dataDir: string): string {
  const home = homeElsewhere(dataDir);
  return existsSync(home) ? home : join(dataDir, 'postgres');
}

const homeElsewhere = (dataDir: string, elsewhere = usualElsewhere): string =>
  join(elsewhere, createHash('sha256').update(dataDir).digest('hex').slice(0, 12));

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
