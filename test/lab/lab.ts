import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { projectRoot } from '../../src/launcher/project-root.js';
import { testCache } from '../support/unpacked.js';
import { agentProgram } from './boot/agent-program.js';
import { type AgentPlan, bootHost, type HostPlan, lanOf } from './boot/boot-host.js';
import { keysIn } from './boot/keys.js';
import { LabHost } from './host.js';
import { buildLabImage } from './image/build-image.js';
import { mayDownload } from './obstacle.js';

export interface LabRequest {
  readonly xen?: number;
  readonly plain?: number;
  /** Of each host, instead of the usual. */
  readonly memoryMiB?: number;
  /** All of them come up under systemd. */
  readonly systemd?: boolean;
  /** Without one no host starts an agent. */
  readonly agents?: {
    /** A file like the server's `server.json`: its `enrolUrl` is where the hosts' enrolment calls go. */
    readonly serverFile: string;
    readonly tokenFor: (hostName: string) => Promise<string>;
    readonly settings?: Readonly<Record<string, string>>;
  };
  readonly note?: (line: string) => void;
}

/** Half is dom0's, which holds Xen's tools, the agent and a QEMU for each guest with a qcow2 disk. */
export const usualMemoryMiB = { xen: 1408, plain: 1024 } as const;
/** Twenty seconds on an idle machine; a busy one takes its time. */
export const readyMs = 300_000;

const PREFIX = 'domus-lab-';

/**
 * Hosts for one test: they are thrown away with `close`, and end with this process however it ends. All that is listened
 * on is on the loopback, and the hosts reach nothing but the enrolment listener and each other.
 */
export class Lab {
  private constructor(
    readonly hosts: readonly LabHost[],
    private readonly folder: string,
  ) {}

  /** Answers once every host is up and the way into it is open. On failure nothing is left. */
  static async open(request: LabRequest): Promise<Lab> {
    const { xen = 0, plain = 0, systemd = false, agents, note } = request;
    sweep();
    const image = await buildLabImage({ cacheDir: testCache, allowDownload: mayDownload(), note });
    const folder = mkdtempSync(join(tmpdir(), `${PREFIX}${process.pid}-`));
    const names = hostNames(xen, plain);
    const program = agents ? agentProgram() : [];
    const open: LabHost[] = [];
    try {
      const keys = await keysIn(folder);
      const boot = async (name: string, index: number): Promise<void> => {
        const kind = name.startsWith('xen') ? 'xen' : 'plain';
        const agent: AgentPlan | null = agents
          ? { ...agents, program, token: await agents.tokenFor(name) }
          : null;
        const plan: HostPlan = {
          ...{ name, kind, systemd, image, keys, agent, readyMs },
          ...{
            number: index + 1,
            memoryMiB: request.memoryMiB ?? usualMemoryMiB[kind],
            lan: lanOf(folder, index + 1, names.length),
          },
          ...{ folder: join(folder, name), runtimeFolder: folder, withParent: true },
        };
        const booted = await bootHost(plan);
        const host = new LabHost(booted, plan.folder);
        open.push(host);
        await booted.ssh.connect();
      };
      // Side by side: booting is what takes longest. The one with the hub goes first, for the others call it.
      const booting = names.map((name, index) => boot(name, index));
      const failed = (await Promise.allSettled(booting)).find((one) => one.status === 'rejected');
      if (failed) throw failed.reason;
    } catch (error) {
      const kept = keepFolder('a lab that did not open');
      for (const host of open) await host.collectLogs(kept);
      // One that did not come up is no host yet: what its line and its QEMU said is all there is of it.
      for (const name of names.filter((one) => !open.some((host) => host.name === one)))
        keepRaw(join(folder, name), join(kept, name));
      await new Lab(open, folder).close();
      if (error instanceof Error) error.message += `\nThe logs of the lab are kept in ${kept}`;
      throw error;
    }
    open.sort((one, other) => names.indexOf(one.name) - names.indexOf(other.name));
    return new Lab(open, folder);
  }

  host(name: string): LabHost {
    const found = this.hosts.find((host) => host.name === name);
    if (!found) throw new Error(`The lab has no host ${name}.`);
    return found;
  }

  /** Runs a piece of a test; where it fails, the hosts' logs are kept and the error says where. */
  async watched<T>(what: string, act: () => Promise<T>): Promise<T> {
    try {
      return await act();
    } catch (error) {
      const kept = keepFolder(what);
      for (const host of this.hosts) await host.collectLogs(kept);
      if (error instanceof Error) error.message += `\nThe logs of the lab are kept in ${kept}`;
      throw error;
    }
  }

  /** Ends every host and removes what was theirs. An error names those that would not end. */
  async close(): Promise<void> {
    const ends = await Promise.allSettled(this.hosts.map((host) => host.end()));
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 5 });
    const alive = ends.flatMap((end) => (end.status === 'rejected' ? [String(end.reason)] : []));
    if (alive.length > 0) throw new Error(alive.join(' '));
  }
}

/** `xen-1`, `xen-2`, `plain-1` … */
export const hostNames = (xen: number, plain: number): string[] => [
  ...Array.from({ length: xen }, (_, index) => `xen-${index + 1}`),
  ...Array.from({ length: plain }, (_, index) => `plain-${index + 1}`),
];

function keepFolder(what: string): string {
  const name = `${new Date().toISOString().replace(/[:.]/g, '-')}-${what.replace(/\W+/g, '-').slice(0, 60)}`;
  const folder = join(projectRoot, '.domus', 'lab-logs', name);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  return folder;
}

function keepRaw(from: string, to: string): void {
  if (!existsSync(from)) return;
  mkdirSync(to, { recursive: true, mode: 0o700 });
  for (const name of readdirSync(from).filter((one) => /\.(log|err)$/.test(one)))
    copyFileSync(join(from, name), join(to, name));
}

/** Folders of processes that were killed before they could close; their QEMUs ended with them. */
function sweep(): void {
  for (const name of readdirSync(tmpdir())) {
    const pid = new RegExp(`^${PREFIX}(\\d+)-`).exec(name)?.[1];
    if (pid === undefined || readdirSync('/proc').includes(pid)) continue;
    rmSync(join(tmpdir(), name), { recursive: true, force: true, maxRetries: 5 });
  }
}
