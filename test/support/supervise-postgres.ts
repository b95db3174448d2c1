import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { embeddedCluster } from '../../src/launcher/postgres/embedded.js';
import { startPostgres } from '../../src/launcher/postgres/supervisor.js';

/** Run as a program, by whichever user the test names: starts or adopts the cluster in a folder and says what it found. */
const [folder] = process.argv.slice(2);
if (!folder) throw new Error('Name the folder.');
const dataDir = join(folder, 'd');
mkdirSync(dataDir, { recursive: true, mode: 0o700 });
const cluster = embeddedCluster({
  dataDir,
  socketFolder: join(folder, 's'),
  logFile: join(folder, 'postgres.log'),
  durable: false,
});
const { process: postmaster, url, adopted } = await startPostgres(cluster);
process.stdout.write(
  `${JSON.stringify({ pid: postmaster.pid, url, adopted, account: cluster.account.kind })}\n`,
);
