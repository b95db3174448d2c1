import { type ChildProcess } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { Duplex, type Readable, type Writable } from 'node:stream';
import { type Dom0, type XlResult } from '../../src/hypervisor-driver/xen/index.js';
import { projectRoot } from '../../src/launcher/project-root.js';

/** The way into a host of the lab, as far as it is needed here. */
export interface HostShell {
  open(argv: readonly string[]): ChildProcess & { stdin: Writable; stdout: Readable; stderr: Readable };
  run(argv: readonly string[]): Promise<{ code: number; out: string; err: string }>;
  put(data: string | Uint8Array, path: string, mode?: number): Promise<void>;
}

interface Told {
  id: number;
  answer?: unknown;
  error?: { message: string; code?: string };
  bytes?: string;
  closed?: true;
}

const FOLDER = '/opt/dom0-door';

/**
 * A control domain on another machine: the driver's own `localDom0` runs there, in Node, and this lends it out call by call. So
 * xl, xenstore and the terminals are the real ones and are reached by the code that ships; the driver runs here.
 */
export async function remoteDom0(shell: HostShell): Promise<Dom0 & { close(): Promise<void> }> {
  await layDoor(shell);
  const door = shell.open(['node', `${FOLDER}/door.mjs`]);
  let complaint = '';
  door.stderr.on('data', (bytes: Buffer) => (complaint = (complaint + bytes.toString()).slice(-2_000)));
  door.stdin.on('error', () => undefined);
  const waiting = new Map<number, { resolve(answer: unknown): void; reject(error: Error): void }>();
  const streams = new Map<number, RemoteStream>();
  let last = 0;
  let over: Error | null = null;
  const say = (message: object) => void door.stdin.write(`${JSON.stringify(message)}\n`);

  createInterface({ input: door.stdout }).on('line', (line) => {
    const { id, answer, error, bytes, closed } = JSON.parse(line) as Told;
    if (bytes !== undefined) return void streams.get(id)?.push(Buffer.from(bytes, 'base64'));
    if (closed) {
      streams.get(id)?.over();
      return void streams.delete(id);
    }
    const asked = waiting.get(id);
    waiting.delete(id);
    if (error) asked?.reject(Object.assign(new Error(error.message), { code: error.code }));
    else asked?.resolve(answer);
  });
  const ended = new Promise<void>((resolve) =>
    door.once('close', (code, signal) => {
      over = new Error(`The door into dom0 has closed (${signal ?? code}): ${complaint}`);
      for (const one of waiting.values()) one.reject(over);
      for (const stream of streams.values()) stream.over();
      resolve();
    }),
  );

  const ask = async <T>(id: number, call: string, rest: object = {}): Promise<T> => {
    if (over) throw over;
    const answer = new Promise<unknown>((resolve, reject) => waiting.set(id, { resolve, reject }));
    say({ id, call, ...rest });
    return (await answer) as T;
  };
  const open = async (call: string, rest: object = {}): Promise<Duplex> => {
    const id = ++last;
    const stream = new RemoteStream(
      (bytes) => say({ id, bytes: bytes.toString('base64') }),
      () => say({ id, close: true }),
    );
    streams.set(id, stream); // bytes may come before the answer
    try {
      await ask(id, call, rest);
      return stream;
    } catch (error) {
      streams.delete(id);
      throw error;
    }
  };

  return {
    xl: async (args, { timeoutMs, signal }): Promise<XlResult> => {
      const id = ++last;
      const abort = () => say({ id, abort: true });
      signal?.addEventListener('abort', abort, { once: true });
      try {
        const answer = ask<XlResult>(id, 'xl', { args, timeoutMs });
        if (signal?.aborted) abort();
        return await answer;
      } finally {
        signal?.removeEventListener('abort', abort);
      }
    },
    openXenstore: () => open('openXenstore'),
    openTerminal: (path) => open('openTerminal', { path }),
    deviceModelLog: (domainId) => ask(++last, 'deviceModelLog', { domainId }),
    endMaking: async (domainId) => void (await ask(++last, 'endMaking', { domainId })),
    close: async () => {
      door.stdin.end();
      await ended;
    },
  };
}

async function layDoor(shell: HostShell): Promise<void> {
  const compiled = (path: string) => readFileSync(join(projectRoot, 'dist/src/hypervisor-driver', path));
  const { code, err } = await shell.run([
    ...['mkdir', '-p', `${FOLDER}/src/hypervisor-driver/xen`, `${FOLDER}/src/hypervisor-driver/shared`],
  ]);
  if (code !== 0) throw new Error(err);
  await shell.put('{"type":"module"}\n', `${FOLDER}/package.json`);
  await shell.put(readFileSync(join(import.meta.dirname, 'dom0-door.mjs')), `${FOLDER}/door.mjs`);
  for (const path of ['xen/local-dom0.js', 'xen/dom0.js', 'shared/systemd.js'])
    await shell.put(compiled(path), `${FOLDER}/src/hypervisor-driver/${path}`);
}

class RemoteStream extends Duplex {
  constructor(
    private readonly send: (bytes: Buffer) => void,
    private readonly onDestroyed: () => void,
  ) {
    super({ allowHalfOpen: false });
  }
  over(): void {
    this.push(null);
    this.destroy();
  }
  override _read(): void {
    // Bytes come when the other end speaks.
  }
  override _write(bytes: Buffer, _: BufferEncoding, done: () => void): void {
    this.send(bytes);
    done();
  }
  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.onDestroyed();
    done(error);
  }
}
