import { spawn } from 'node:child_process';
import { constants } from 'node:fs';
import { open, readdir, readFile } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { type Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { ReadStream } from 'node:tty';
import { inScope, systemdRules } from '../shared/systemd.js';
import { type Dom0, type XlOptions, type XlResult } from './dom0.js';

const XENSTORE_SOCKETS = ['/run/xenstored/socket', '/var/run/xenstored/socket'];
const OUTPUT_LIMIT_BYTES = 16 << 20;
/** What xl has left behind may hold its output open; how long it is waited for once xl itself is gone. */
const DRAIN_MS = 500;
const END_MAKING_MS = 15_000;

export interface LocalDom0Options {
  /** A path, or a name on PATH. Default: `findXl`. */
  readonly xl?: string;
  /** Whether guests' processes get systemd scopes. Default: systemd is process 1, and we are root. */
  readonly systemd?: boolean;
}

/** The control domain that this process runs in. */
export async function localDom0(options: LocalDom0Options = {}): Promise<Dom0> {
  const xl = options.xl ?? (await findXl());
  const systemd = options.systemd ?? systemdRules();
  return {
    xl: (args, how) => runXl(xl, args, how, systemd),
    openXenstore,
    openTerminal,
    deviceModelLog: (domainId) =>
      readFile(`/var/log/xen/qemu-dm-domus-${domainId}.log`, 'utf8').catch(() => ''),
    endMaking,
  };
}

/** Whether this process runs in the control domain of a Xen host. */
export const isControlDomain = (): Promise<boolean> =>
  readFile('/proc/xen/capabilities', 'utf8').then(
    (text) => text.split(/\s+/).includes('control_d'),
    () => false,
  );

/** Debian's `xl` on PATH is a shell script that looks for the one of the running Xen: it costs more than xl itself. */
async function findXl(): Promise<string> {
  const part = (name: string) =>
    readFile(`/sys/hypervisor/version/${name}`, 'utf8').then((text) => text.trim());
  try {
    const path = `/usr/lib/xen-${await part('major')}.${await part('minor')}/bin/xl`;
    await (await open(path, 'r')).close();
    return path;
  } catch {
    return 'xl';
  }
}

function runXl(
  xl: string,
  args: readonly string[],
  { timeoutMs, signal, scope }: XlOptions,
  systemd: boolean,
): Promise<XlResult> {
  const [command, words] =
    systemd && scope !== undefined ? inScope(scope, xl, args) : ([xl, [...args]] as const);
  return new Promise((resolve, reject) => {
    const child = spawn(command, words, {
      stdio: ['ignore', 'pipe', 'pipe'],
      // A SIGINT for the agent's terminal must not break off what xl is at.
      detached: true,
    });
    const taken = { stdout: '', stderr: '' };
    for (const name of ['stdout', 'stderr'] as const)
      child[name].on('data', (bytes: Buffer) => {
        if (taken[name].length < OUTPUT_LIMIT_BYTES) taken[name] += bytes.toString('utf8');
      });
    const end = () => void child.kill('SIGKILL');
    const timer = setTimeout(() => {
      taken.stderr += `\nxl did not end within ${timeoutMs} ms.\n`;
      end();
    }, timeoutMs);
    signal?.addEventListener('abort', end, { once: true });
    if (signal?.aborted) end();
    let finished = false;
    const finish = (act: () => void) => {
      if (finished) return;
      finished = true;
      clearTimeout(timer);
      signal?.removeEventListener('abort', end);
      child.stdout.destroy();
      child.stderr.destroy();
      act();
    };
    child.once('error', (error: NodeJS.ErrnoException) =>
      finish(() => reject(error.code === 'ENOENT' ? new Error(`${command} is not on this machine.`) : error)),
    );
    const done = (code: number | null) => finish(() => resolve({ code, ...taken }));
    child.once('close', done);
    child.once('exit', (code) => void sleep(DRAIN_MS).then(() => done(code)));
  });
}

async function openXenstore(): Promise<Duplex> {
  let failure: unknown;
  for (const path of XENSTORE_SOCKETS)
    try {
      return await connected(connect(path));
    } catch (error) {
      failure ??= error;
    }
  throw failure;
}

const connected = (socket: Socket): Promise<Socket> =>
  new Promise((resolve, reject) => {
    socket.once('connect', () => {
      socket.off('error', reject);
      resolve(socket);
    });
    socket.once('error', reject);
  });

/** A pseudo-terminal's guest side as xenconsoled has made it, already raw. It never becomes ours: a hang-up there is not for us. */
async function openTerminal(path: string): Promise<Duplex> {
  const { O_RDWR, O_NOCTTY, O_NONBLOCK } = constants;
  const file = await open(path, O_RDWR | O_NOCTTY | O_NONBLOCK);
  // libuv takes a descriptor of its own for a terminal; ours is closed with the stream.
  const stream = new ReadStream(file.fd);
  stream.setRawMode(true);
  stream.once('close', () => void file.close().catch(() => undefined));
  return stream;
}

async function endMaking(domainId: string): Promise<void> {
  const deadline = performance.now() + END_MAKING_MS;
  for (;;) {
    const pids = await makersOf(domainId);
    if (pids.length === 0) return;
    if (performance.now() > deadline)
      throw new Error(`xl still makes domain ${domainId} (pid ${pids.join(', ')}).`);
    for (const pid of pids)
      try {
        process.kill(pid, 'SIGKILL');
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
      }
    await sleep(20);
  }
}

/** By its arguments: the whole configuration is one of them, and has the domain's UUID on a line of its own. */
async function makersOf(domainId: string): Promise<number[]> {
  const found: number[] = [];
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const words = (await readFile(`/proc/${name}/cmdline`, 'utf8').catch(() => '')).split('\0');
    if (words.includes('create') && words.some((word) => word.includes(`\nuuid="${domainId}"\n`)))
      found.push(Number(name));
  }
  return found;
}
