import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Readable, type Writable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { setTimeout as delay } from 'node:timers/promises';
import { type Keys } from './keys.js';

export interface Said {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

export interface RunOptions {
  readonly input?: string | Uint8Array;
  /** Past it the command has failed. Under emulation everything takes ten times as long as one is used to. */
  readonly deadlineMs?: number;
}

export type OpenCommand = ChildProcessByStdio<Writable, Readable, Readable>;

const DEADLINE_MS = 120_000;
const CONNECT_TRIES = 5;
const CONNECT_AGAIN_MS = 2_000;

/**
 * The way into a host: OpenSSH with the keys of this lab alone, over one connection that all calls share, since the
 * handshake takes seconds under emulation. The connection goes with `close`.
 */
export class Ssh {
  private master: OpenCommand | null = null;
  private readonly configFile: string;

  constructor(
    private readonly name: string,
    folder: string,
    keys: Keys,
    port: number,
    private readonly socket: string,
  ) {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const knownHosts = join(folder, 'known_hosts');
    this.configFile = join(folder, 'ssh_config');
    writeFileSync(knownHosts, `[127.0.0.1]:${port} ${keys.hostPublicKey}`);
    writeFileSync(this.configFile, sshConfig(name, { port, keyFile: keys.keyFile, knownHosts }));
  }

  /** What a person types to come in. */
  get words(): readonly string[] {
    return ['ssh', '-F', this.configFile, this.name];
  }

  /** Opens the connection; the host must be up. A host that has just booted may cut the first ones off. */
  async connect(): Promise<void> {
    for (let tries = 1; ; tries += 1) {
      try {
        return await this.connectOnce();
      } catch (error) {
        if (tries === CONNECT_TRIES) throw error;
        await delay(CONNECT_AGAIN_MS);
      }
    }
  }

  private async connectOnce(): Promise<void> {
    const [ssh = '', ...rest] = this.words;
    const args = ['-M', '-S', this.socket, '-o', 'ControlPersist=no', ...rest, 'echo connected; exec cat'];
    const master = spawn(ssh, args, { stdio: ['pipe', 'pipe', 'pipe'] });
    master.stdin.on('error', () => undefined);
    const said = errorsOf(master);
    const answer = await Promise.race([once(master.stdout, 'data'), once(master, 'exit')]);
    if (!String(answer[0]).startsWith('connected')) throw new Error(`ssh to ${this.name}: ${said()}`);
    this.master = master;
  }

  /** Starts a command and hands over its lines. It ends with its input, or when it is killed. */
  open(argv: readonly string[]): OpenCommand {
    const [ssh = '', ...rest] = this.words;
    return spawn(ssh, ['-S', this.socket, ...rest, shellWords(argv)], { stdio: ['pipe', 'pipe', 'pipe'] });
  }

  /** Runs a command to its end, whatever it answers. */
  async run(
    argv: readonly string[],
    { input = '', deadlineMs = DEADLINE_MS }: RunOptions = {},
  ): Promise<Said> {
    const child = this.open(argv);
    child.stdin.on('error', () => undefined);
    child.stdin.end(input);
    const overdue = setTimeout(() => child.kill('SIGKILL'), deadlineMs);
    try {
      const [out, err, [code]] = await Promise.all([
        buffer(child.stdout),
        buffer(child.stderr),
        once(child, 'close') as Promise<[number | null]>,
      ]);
      if (code === null)
        throw new Error(`${this.name}: ${argv.join(' ')} did not end within ${deadlineMs / 1_000} s.`);
      return { code, out: out.toString(), err: err.toString() };
    } finally {
      clearTimeout(overdue);
    }
  }

  async put(data: string | Uint8Array, path: string, mode = 0o644): Promise<void> {
    const script = 'umask 077 && cat >"$1.new" && chmod "$2" "$1.new" && mv "$1.new" "$1"';
    const said = await this.run(['sh', '-c', script, 'put', path, mode.toString(8)], { input: data });
    if (said.code !== 0) throw new Error(`${this.name}: ${path} cannot be written: ${said.err.trim()}`);
  }

  async get(path: string): Promise<Buffer> {
    const child = this.open(['cat', path]);
    child.stdin.end();
    const [out, err, [code]] = await Promise.all([
      buffer(child.stdout),
      buffer(child.stderr),
      once(child, 'close') as Promise<[number | null]>,
    ]);
    if (code !== 0) throw new Error(`${this.name}: ${path} cannot be read: ${err.toString().trim()}`);
    return out;
  }

  async close(): Promise<void> {
    const { master } = this;
    this.master = null;
    if (!master || master.exitCode !== null) return;
    const ended = once(master, 'exit');
    master.kill('SIGTERM');
    await ended;
  }
}

/** For the shell at the other end, which OpenSSH always puts in between. */
export const shellWords = (argv: readonly string[]): string =>
  argv.map((word) => (/^[\w./:=@%+-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`)).join(' ');

export const sshConfig = (
  name: string,
  { port, keyFile, knownHosts }: { port: number; keyFile: string; knownHosts: string },
): string =>
  [
    `Host ${name}`,
    '  HostName 127.0.0.1',
    `  Port ${port}`,
    '  User root',
    `  IdentityFile "${keyFile}"`,
    '  IdentitiesOnly yes',
    '  IdentityAgent none',
    `  UserKnownHostsFile "${knownHosts}"`,
    '  GlobalKnownHostsFile none',
    '  StrictHostKeyChecking yes',
    '  HostKeyAlgorithms ssh-ed25519',
    '  BatchMode yes',
    '  ConnectTimeout 60',
    '  LogLevel ERROR',
    '',
  ].join('\n');

function errorsOf(child: OpenCommand): () => string {
  let text = '';
  child.stderr.on('data', (chunk: Buffer) => (text += chunk.toString()));
  return () => text.trim();
}
