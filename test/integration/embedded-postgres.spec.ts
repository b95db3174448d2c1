import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { chmodSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import pg from 'pg';
import { createDataSource } from '../../src/data-source.js';
import type { Account } from '../../src/launcher/postgres/account.js';
import type { Cluster } from '../../src/launcher/postgres/cluster.js';
import { clusterFolderOf, embeddedCluster } from '../../src/launcher/postgres/embedded.js';
import {
  findPostmaster,
  type RunningPostgres,
  startPostgres,
  stopPostgres,
} from '../../src/launcher/postgres/supervisor.js';
import { isAlive, signal, until } from '../../src/launcher/process/process-table.js';
import { projectRoot } from '../../src/launcher/project-root.js';
import { giveToNobody, nodeAsNobody, noSecondUser } from '../support/as-nobody.js';
import { freshDatabase } from '../support/postgres.js';
import { scratchFolder } from '../support/scratch-folder.js';
import { describeUnless, itUnless } from '../support/skippable.js';

const run = promisify(execFile);

/** A cluster in a folder of its own; everything of it is gone after the test file. */
const clusters: { cluster: Cluster; remove: () => void }[] = [];
function aCluster(options: { deep?: boolean; account?: Account } = {}): Cluster {
  const scratch = scratchFolder('pg');
  const dataDir = join(scratch.path, ...(options.deep ? ['x'.repeat(120), 'y y'] : ['d']));
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  const cluster = embeddedCluster({
    dataDir,
    socketFolder: join(scratch.path, 's'),
    logFile: join(scratch.path, 'postgres.log'),
    durable: false,
    account: options.account,
    elsewhere: join(scratch.path, 'elsewhere'),
  });
  if (options.account) chmodSync(scratch.path, 0o711);
  clusters.push({ cluster, remove: scratch.remove });
  return cluster;
}

afterAll(async () => {
  for (const { cluster, remove } of clusters) {
    await stopPostgres(cluster, 5_000);
    remove();
  }
}, 60_000);

async function ask<T>(url: string, sql: string): Promise<T[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query<{ answer: T }>(sql)).rows.map((row) => row.answer);
  } finally {
    await client.end();
  }
}

/** A session that is in the middle of something when its server dies. */
async function busySession(url: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  client.on('error', () => undefined);
  await client.connect();
  const working = client.query(
    `SELECT count(*) FROM generate_series(1, 1000000000) AS s(n) WHERE md5(n::text) = 'x'`,
  );
  working.catch(() => undefined);
  await until(async () => {
    const [busy] = await ask<string>(
      url,
      `SELECT count(*) AS answer FROM pg_stat_activity WHERE query LIKE '%md5%x%' AND state = 'active'`,
    );
    return Number(busy) > 1;
  }, 10_000);
}

describe('embedded PostgreSQL', () => {
  it('starts once however many start it at the same moment', async () => {
    const cluster = aCluster();
    const started = await Promise.all([1, 2, 3].map(() => startPostgres(cluster)));
    expect(new Set(started.map(({ process }) => process.pid)).size).toBe(1);
    expect(started.filter(({ adopted }) => !adopted)).toHaveLength(1);
    expect(await ask(started[2]?.url ?? '', 'SELECT current_database() AS answer')).toEqual(['domus']);
  }, 60_000);

  it('is adopted by the next start, and lives on when the process that started it is killed', async () => {
    const scratch = scratchFolder('pg');
    const program = [
      '--experimental-transform-types',
      '--no-warnings',
      `--import=${join(projectRoot, 'test/support/run-typescript.mjs')}`,
      join(projectRoot, 'test/support/supervise-postgres.ts'),
      scratch.path,
    ];
    const first = JSON.parse((await run(process.execPath, program)).stdout) as {
      pid: number;
      adopted: boolean;
    };
    const second = JSON.parse((await run(process.execPath, program)).stdout) as {
      pid: number;
      adopted: boolean;
    };
    expect([first.adopted, second.adopted, second.pid]).toEqual([false, true, first.pid]);
    await stopPostgres({ folder: join(scratch.path, 'd', 'postgres') });
    scratch.remove();
  }, 60_000);

  it('comes back after kill -9, with what was committed, although a session was busy', async () => {
    const cluster = aCluster();
    const running = await startPostgres(cluster);
    await ask(running.url, 'CREATE TABLE kept AS SELECT 42 AS answer');
    await busySession(running.url);
    signal(running.process, 'SIGKILL');
    await until(() => !isAlive(running.process), 5_000);
    const again = await startPostgres(cluster);
    expect(again.url).toBe(running.url);
    expect(await ask(again.url, 'SELECT answer FROM kept')).toEqual([42]);
  }, 60_000);

  it('is not fooled by a pid file that names a stranger', async () => {
    const cluster = aCluster();
    const running = await startPostgres(cluster);
    await stopPostgres(cluster);
    const stranger: ChildProcess = spawn('sleep', ['60'], { stdio: 'ignore' });
    try {
      const left = `${stranger.pid}\n${join(cluster.folder, 'data')}\n1\n5432\n${cluster.socketFolder}\n\n1 1\nready\n`;
      writeFileSync(join(cluster.folder, 'data', 'postmaster.pid'), left, { mode: 0o600 });
      expect(findPostmaster(cluster)).toBeUndefined();
      const again = await startPostgres(cluster);
      expect(again).toMatchObject({ adopted: false, url: running.url });
      expect(stranger.exitCode).toBeNull();
    } finally {
      stranger.kill('SIGKILL');
    }
  }, 60_000);

  it('makes no cluster of what an interrupted initdb left', async () => {
    const cluster = aCluster();
    mkdirSync(join(cluster.folder, 'data.1-cafe', 'base'), { recursive: true });
    const { url } = await startPostgres(cluster);
    expect(await ask(url, 'SELECT 1 AS answer')).toEqual([1]);
  }, 60_000);

  it('stops in order, so that the next start has nothing to recover', async () => {
    const cluster = aCluster();
    const running = await startPostgres(cluster);
    await busySession(running.url);
    expect(await stopPostgres(cluster, 10_000)).toBe(true);
    expect(isAlive(running.process)).toBe(false);
    expect(readFileSync(cluster.logFile, 'utf8')).not.toMatch(/not properly shut down/);
    expect(await stopPostgres(cluster)).toBe(false);
  }, 60_000);

  it('serves a data folder whose path is far too long for a socket', async () => {
    const { url } = await startPostgres(aCluster({ deep: true }));
    expect(await ask(url, 'SELECT 1 AS answer')).toEqual([1]);
  }, 60_000);

  it('says in one sentence why it does not start', async () => {
    const cluster = aCluster();
    await startPostgres(cluster);
    await stopPostgres(cluster);
    writeFileSync(join(cluster.folder, 'data', 'PG_VERSION'), '12\n');
    await expect(startPostgres(cluster)).rejects.toThrow(/^PostgreSQL does not start: .+postgres\.log\)$/);
  }, 60_000);

  it('is reached by TypeORM through the same URL', async () => {
    const database = await freshDatabase();
    const source = createDataSource(database.url);
    await source.initialize();
    expect(await source.query('SELECT current_user AS who')).toEqual([{ who: 'domus' }]);
    await source.destroy();
    await database.drop();
  }, 60_000);
});

describe('nobody else on the machine gets in', () => {
  let cluster: Cluster;
  let running: RunningPostgres;
  beforeAll(async () => {
    cluster = aCluster();
    // Even a parent folder that everybody may enter must not help.
    chmodSync(join(cluster.socketFolder, '..'), 0o755);
    running = await startPostgres(cluster);
  }, 60_000);

  it('over a network: it listens on none', async () => {
    expect(await ask(running.url, `SELECT current_setting('listen_addresses') AS answer`)).toEqual(['']);
  });

  it('without the password, not even as the same user', async () => {
    const wrong = running.url.replace(/:[^:@/]+@/, ':wrong@');
    await expect(ask(wrong, 'SELECT 1 AS answer')).rejects.toThrow('password authentication failed');
    expect(statSync(join(cluster.folder, 'password')).mode & 0o777).toBe(0o600);
  });

  const connect = `
    const socket = require('node:net').connect(process.argv[1] + '/.s.PGSQL.5432');
    socket.on('connect', () => console.log('in')).on('error', (error) => console.log(error.code)).on('connect', () => socket.end());`;

  describeUnless(noSecondUser, 'through the socket', () => {
    it.each([
      ['as another user', []],
      ['as another user who maps himself to ours', ['unshare', '--map-user=65534', '--map-group=65534']],
      ['as another user who maps himself to root', ['unshare', '--map-root-user']],
    ])('%s', async (_, wrapper) => {
      const scratch = scratchFolder('nobody');
      chmodSync(scratch.path, 0o755);
      const script = `
        const [command, ...args] = ${JSON.stringify([...wrapper, join(scratch.path, 'node')])};
        const { stdout } = require('node:child_process').spawnSync(command, [...args, '-e', ${JSON.stringify(connect)}, process.argv[1]]);
        process.stdout.write(stdout);`;
      expect((await nodeAsNobody(scratch.path, ['-e', script, cluster.socketFolder])).trim()).toBe('EACCES');
      scratch.remove();
    });
  });
});

describe('who runs it', () => {
  itUnless(
    noSecondUser,
    'an ordinary user runs it under his own name',
    async () => {
      const scratch = scratchFolder('nobody');
      giveToNobody(scratch.path);
      const said = await nodeAsNobody(
        scratch.path,
        [
          '--experimental-transform-types',
          '--no-warnings',
          `--import=${join(projectRoot, 'test/support/run-typescript.mjs')}`,
          join(projectRoot, 'test/support/supervise-postgres.ts'),
          scratch.path,
        ],
        { readAll: true },
      );
      const started = JSON.parse(said) as { pid: number; url: string; account: string };
      expect(started.account).toBe('own');
      expect(statSync(`/proc/${started.pid}`).uid).toBe(65534);
      expect(await ask(started.url, 'SELECT 1 AS answer')).toEqual([1]);
      await stopPostgres({ folder: join(scratch.path, 'd', 'postgres') });
      scratch.remove();
    },
    60_000,
  );

  itUnless(
    noSecondUser,
    "root runs it without making a user, and its files stay root's",
    async () => {
      const cluster = aCluster();
      const passwd = readFileSync('/etc/passwd', 'utf8');
      await startPostgres(cluster);
      expect(cluster.account.kind).toBe('mapped');
      expect(statSync(join(cluster.folder, 'data')).uid).toBe(0);
      expect(readFileSync('/etc/passwd', 'utf8')).toBe(passwd);
    },
    60_000,
  );

  itUnless(
    noSecondUser,
    'root runs it as a user that is there where namespaces are forbidden',
    async () => {
      const account: Account = { kind: 'user', uid: 65534, gid: 65534 };
      const cluster = aCluster({ account });
      const { process, url } = await startPostgres(cluster);
      expect(statSync(`/proc/${process.pid}`).uid).toBe(65534);
      expect(await ask(url, 'SELECT 1 AS answer')).toEqual([1]);
    },
    60_000,
  );

  itUnless(noSecondUser, 'a cluster that had to go elsewhere is found there for ever', () => {
    const scratch = scratchFolder('pg');
    const place = {
      dataDir: join(scratch.path, 'd'),
      socketFolder: join(scratch.path, 's'),
      logFile: join(scratch.path, 'postgres.log'),
      elsewhere: join(scratch.path, 'elsewhere'),
    };
    mkdirSync(place.dataDir);
    const forced = embeddedCluster({ ...place, account: { kind: 'user', uid: 65534, gid: 65534 } });
    const later = embeddedCluster(place);
    expect([later.folder, later.account]).toEqual([forced.folder, forced.account]);
    expect(clusterFolderOf(place.dataDir)).toBe(forced.folder);
    scratch.remove();
    return Promise.resolve();
  });

  it('is found again by the folder alone', () => {
    const cluster = aCluster();
    expect(clusterFolderOf(join(cluster.folder, '..'))).toBe(cluster.folder);
  });
});
