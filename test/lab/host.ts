import { copyFileSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isAlive } from '../../src/launcher/process/process-table.js';
import { type BootedHost } from './boot/boot-host.js';
import { endMachine } from './boot/machine.js';
import { type OpenCommand, type RunOptions, type Said } from './boot/ssh.js';

const LOGS_MS = 60_000;

/** A host of the lab that is up. */
export class LabHost {
  constructor(
    private readonly booted: BootedHost,
    private readonly folder: string,
  ) {}

  get name(): string {
    return this.booted.spec.name;
  }

  get kind(): 'xen' | 'plain' {
    return this.booted.spec.kind;
  }

  /** Of its QEMU on this machine. */
  get pid(): number {
    return this.booted.machine.pid;
  }

  /** Where the server reaches its agent. */
  get agentAddress(): string {
    return `127.0.0.1:${this.booted.spec.ports.agent}`;
  }

  /** Runs a command in it as root; an answer other than 0 is an error that says what was said. */
  async run(argv: readonly string[], options?: RunOptions): Promise<string> {
    const { code, out, err } = await this.booted.ssh.run(argv, options);
    if (code !== 0)
      throw new Error(
        `${this.name}: ${argv.join(' ')} ended with ${code}: ${(err || out).trim().slice(-800)}`,
      );
    return out;
  }

  /** The same for a command that may refuse. */
  try(argv: readonly string[], options?: RunOptions): Promise<Said> {
    return this.booted.ssh.run(argv, options);
  }

  /** A command with its lines open both ways. It must end with its input: a kill reaches only this end. */
  open(argv: readonly string[]): OpenCommand {
    return this.booted.ssh.open(argv);
  }

  put(data: string | Uint8Array, path: string, mode?: number): Promise<void> {
    return this.booted.ssh.put(data, path, mode);
  }

  get(path: string): Promise<Buffer> {
    return this.booted.ssh.get(path);
  }

  async startAgent(): Promise<void> {
    await this.run(this.systemd ? ['systemctl', 'start', 'domus-agent'] : ['agent', 'start']);
  }

  /** As power loss would end it: nothing is written, nothing is let go. Without systemd it stays away. */
  async killAgent(): Promise<void> {
    await this.run(
      this.systemd
        ? ['systemctl', 'kill', '--kill-whom=main', '--signal=KILL', 'domus-agent']
        : ['sh', '-c', 'kill -KILL "$(agent pid)"'],
    );
  }

  async agentLog(): Promise<string> {
    return this.systemd
      ? this.run(['journalctl', '--no-pager', '--output=cat', '--unit=domus-agent'])
      : this.run(['cat', '/var/log/domus-agent.log']);
  }

  /** What is known of it, into a folder: for somebody who was not there. Never fails. */
  async collectLogs(into: string): Promise<void> {
    const folder = join(into, this.name);
    mkdirSync(folder, { recursive: true });
    for (const name of ['console.log', 'qemu.err'])
      if (existsSync(join(this.folder, name))) copyFileSync(join(this.folder, name), join(folder, name));
    if (!isAlive(this.booted.machine)) return;
    const options = { deadlineMs: LOGS_MS };
    const ask = async (file: string, argv: readonly string[]) =>
      writeFileSync(
        join(folder, file),
        await this.booted.ssh.run(argv, options).then(
          ({ out, err }) => out + err,
          (error: unknown) => `${String(error)}\n`,
        ),
      );
    const xen = 'xl list; xl dmesg; tail -n 200 /var/log/xen/*.log; xenstore-ls -f';
    const agent = 'cat /var/log/domus-agent.log 2>/dev/null || journalctl --no-pager';
    await ask('agent.log', ['sh', '-c', agent]);
    await ask('processes.txt', ['sh', '-c', 'ps axo pid,ppid,stat,time,args; free -m; df -h; vgs; lvs']);
    if (this.kind === 'xen') await ask('xen.log', ['sh', '-c', xen]);
  }

  /** Pulls its plug. An error if its QEMU would not end. */
  async end(): Promise<void> {
    await this.booted.ssh.close();
    if (!(await endMachine(this.booted.machine)))
      throw new Error(`The QEMU of ${this.name} (pid ${this.pid}) does not end.`);
  }

  private get systemd(): boolean {
    return this.booted.spec.systemd;
  }
}
