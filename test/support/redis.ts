import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { until } from '../../src/launcher/process/process-table.js';
import { ownPort } from './own-port.js';
import { serviceFolder } from './run-folder.js';
import { scratchFolder } from './scratch-folder.js';
import { unpacked, unpackedForTests } from './unpacked.js';

export interface TestRedis {
  /** On the loopback, with a password. */
  readonly url: string;
  /** Everything it writes; `stop` removes it. */
  readonly folder: string;
  /** Of the process that was started last. */
  readonly pid: number;
  /** Ends it and removes everything it wrote. */
  stop(): Promise<void>;
  /** Kills it: it kept nothing on disk, so that `restart` brings an empty one back under the same URL. */
  kill(): Promise<void>;
  restart(): Promise<void>;
}

/** A Redis of one's own (Debian's 7.0): some fifty milliseconds once it has been unpacked. */
export async function startRedis(): Promise<TestRedis> {
  const { folder: tree, environment } = await unpacked(unpackedForTests.redis);
  const name = `redis-${randomBytes(6).toString('hex')}`;
  const scratch = scratchFolder('redis');
  const folder = serviceFolder(name) ?? scratch.path;
  mkdirSync(folder, { recursive: true });
  const password = randomBytes(16).toString('hex');
  const port = await ownPort();
  const url = `redis://:${password}@127.0.0.1:${port}`;
  const configuration = join(folder, 'redis.conf');
  writeFileSync(
    configuration,
    [
      'bind 127.0.0.1',
      `port ${port}`,
      `requirepass ${password}`,
      'save ""',
      'appendonly no',
      'maxmemory-policy noeviction',
      `dir ${folder}`,
      `pidfile ${join(folder, 'redis.pid')}`,
    ].join('\n'),
    { mode: 0o600 },
  );

  const start = async (): Promise<ChildProcess> => {
    const log = openSync(join(folder, 'redis.log'), 'a');
    const child = spawn(join(tree, 'usr/bin/redis-server'), [configuration], {
      env: { PATH: '/usr/bin:/bin', ...environment },
      stdio: ['ignore', log, log],
    });
    if (!(await until(() => child.exitCode !== null || answers(port), 10_000)) || child.exitCode !== null) {
      child.kill('SIGKILL');
      throw new Error(
        `Redis does not start:\n${readFileSync(join(folder, 'redis.log'), 'utf8').slice(-2_000)}`,
      );
    }
    return child;
  };
  const end = async (child: ChildProcess, how: NodeJS.Signals): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, 'exit');
    child.kill(how);
    await gone;
  };

  let child = await start();
  return {
    url,
    folder,
    get pid() {
      return child.pid ?? 0;
    },
    kill: () => end(child, 'SIGKILL'),
    restart: async () => {
      await end(child, 'SIGKILL');
      child = await start();
    },
    stop: async () => {
      await end(child, 'SIGTERM');
      scratch.remove();
    },
  };
}

/** A bare connection: a client would go on trying in the background. */
async function answers(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1');
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}
