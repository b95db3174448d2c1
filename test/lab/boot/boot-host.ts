import { existsSync, mkdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type ProcessIdentity } from '../../../src/launcher/process/process-table.js';
import { projectRoot } from '../../../src/launcher/project-root.js';
import { type LabImage } from '../image/build-image.js';
import { runTool } from '../image/run.js';
import { type ProgramFile } from './agent-program.js';
import { agentPortInside, enrolUrlInside, type MachineSpec } from './command-line.js';
import { type Keys } from './keys.js';
import { PortTaken, startMachine } from './machine.js';
import { seedArchive, tokenFile } from './seed.js';
import { Ssh } from './ssh.js';

export interface HostPlan {
  readonly name: string;
  readonly kind: 'xen' | 'plain';
  readonly systemd: boolean;
  readonly number: number;
  readonly memoryMiB: number;
  /** Its own, kept as long as the host should keep its disks. */
  readonly folder: string;
  /** For sockets: a short path. */
  readonly runtimeFolder: string;
  readonly image: LabImage;
  readonly keys: Keys;
  readonly lan: MachineSpec['lan'];
  /** Of the last time; taken again if they are free. */
  readonly ports?: MachineSpec['ports'];
  readonly withParent: boolean;
  readonly agent: AgentPlan | null;
  readonly readyMs: number;
}

export interface AgentPlan {
  readonly program: readonly ProgramFile[];
  /** The server's `server.json`: it says where the enrolment listener is, also when it moves. */
  readonly serverFile: string;
  readonly token?: string;
  readonly settings?: Readonly<Record<string, string>>;
}

export interface BootedHost {
  readonly spec: MachineSpec;
  readonly machine: ProcessIdentity;
  readonly ssh: Ssh;
}

const DATA_DISK_BYTES = 4 * 2 ** 30;
const ATTEMPTS = 3;
const HUB_MS = 60_000;

/** Makes what the host needs in its folder, boots it, and answers once it is up and the way into it is open. */
export async function bootHost(plan: HostPlan): Promise<BootedHost> {
  mkdirSync(plan.folder, { recursive: true, mode: 0o700 });
  const rootOverlay = join(plan.folder, 'root.qcow2');
  const dataDisk = join(plan.folder, 'data.raw');
  if (!existsSync(rootOverlay))
    await runTool('qemu-img', [
      'create',
      '-q',
      '-f',
      'qcow2',
      '-F',
      'raw',
      '-b',
      plan.image.root,
      rootOverlay,
    ]);
  if (!existsSync(dataDisk)) {
    writeFileSync(dataDisk, '', { mode: 0o600 });
    truncateSync(dataDisk, DATA_DISK_BYTES);
  }
  if (plan.lan && 'connect' in plan.lan) await hubIsThere(plan.lan.connect);
  for (let attempt = 1; ; attempt += 1) {
    const ports = await freePorts(attempt === 1 ? plan.ports : undefined);
    const spec = specOf(plan, { rootOverlay, dataDisk, ports });
    writeFileSync(spec.files.initrd, initrdOf(plan, ports.agent), { mode: 0o600 });
    try {
      const errorFile = join(plan.folder, 'qemu.err');
      const { withParent, readyMs } = plan;
      const machine = await startMachine(spec, { withParent, errorFile, readyMs });
      const socket = join(plan.runtimeFolder, `${plan.name}.ssh`);
      return { spec, machine, ssh: new Ssh(plan.name, plan.folder, plan.keys, ports.ssh, socket) };
    } catch (error) {
      if (!(error instanceof PortTaken) || attempt === ATTEMPTS) throw error;
    }
  }
}

function specOf(
  plan: HostPlan,
  { rootOverlay, dataDisk, ports }: { rootOverlay: string; dataDisk: string; ports: MachineSpec['ports'] },
): MachineSpec {
  const { name, kind, systemd, number, memoryMiB, folder, runtimeFolder, image, lan, agent } = plan;
  return {
    ...{ name, kind, systemd, number, memoryMiB, image, lan, ports },
    files: {
      initrd: join(folder, 'initrd'),
      rootOverlay,
      dataDisk,
      serialSocket: join(runtimeFolder, `${name}.tty`),
      serialLog: join(folder, 'console.log'),
    },
    enrolCommand: [
      process.execPath,
      join(projectRoot, 'test/lab/boot/enrol-way.mjs'),
      agent?.serverFile ?? join(folder, 'no-server.json'),
    ],
  };
}

/** The image's own archive, and behind it the one of this run. The kernel wants each to begin at a multiple of four. */
function initrdOf({ image, name, number, keys, agent }: HostPlan, agentPort: number): Buffer {
  const own = readFileSync(image.initrd);
  const seed = seedArchive({
    ...{ name, number, keys },
    agent: agent
      ? {
          program: agent.program,
          token: agent.token,
          settings: {
            DOMUS_DATA_DIR: '/var/lib/domus',
            DOMUS_RUNTIME_DIR: '/run/domus',
            DOMUS_AGENT_LISTEN: `0.0.0.0:${agentPortInside}`,
            DOMUS_AGENT_ADVERTISE: `127.0.0.1:${agentPort}`,
            DOMUS_ENROL_URL: enrolUrlInside,
            DOMUS_ENROL_TOKEN_FILE: tokenFile,
            DOMUS_HOST_NAME: name,
            DOMUS_ACCEL: 'tcg',
            ...agent.settings,
          },
        }
      : undefined,
  });
  return Buffer.concat([own, Buffer.alloc((4 - (own.length % 4)) % 4), seed]);
}

async function freePorts(wanted: MachineSpec['ports'] | undefined): Promise<MachineSpec['ports']> {
  const [ssh, agent] = await Promise.all([freePort(wanted?.ssh), freePort(wanted?.agent)]);
  return { ssh, agent };
}

/** The wanted one, or any. Somebody may take it before QEMU does: then QEMU says so. */
async function freePort(wanted = 0): Promise<number> {
  const probe = createServer();
  const listening = once(probe, 'listening').then(
    () => true,
    () => false,
  );
  probe.listen(wanted, '127.0.0.1');
  if (!(await listening)) return freePort();
  const { port } = probe.address() as AddressInfo;
  await new Promise((resolve) => probe.close(resolve));
  return port;
}

/**
 * The sockets of a host's second card: number 1 holds the hub, with a way for each other number up to `most`.
 * A host alone has none.
 */
export function lanOf(runtimeFolder: string, number: number, most: number): MachineSpec['lan'] {
  const way = (other: number) => join(runtimeFolder, `lan-${other}`);
  if (most < 2) return null;
  if (number > 1) return { connect: way(number) };
  return { listen: Array.from({ length: most - 1 }, (_, index) => way(index + 2)) };
}

/** QEMU calls the hub once, at its start. That the socket is there nobody tells. */
async function hubIsThere(path: string): Promise<void> {
  const until = performance.now() + HUB_MS;
  while (!existsSync(path)) {
    if (performance.now() > until) throw new Error('The first host of the lab did not open its network.');
    await delay(10);
  }
}
