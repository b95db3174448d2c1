import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { readLauncherConfig } from '../../src/config/launcher.config.js';
import { PackageUnavailable } from '../../src/debian-package/index.js';
import { type ApiClient } from '../../src/launcher/api-client.js';
import { ensureDefaultPool } from '../../src/launcher/bring-up.js';
import { type DataFolder, isSimulated, prepareRuntimeFolder } from '../../src/launcher/data-folder.js';
import { openClient } from '../../src/launcher/installation.js';
import { failed, missing } from '../../src/launcher/launcher-error.js';
import { allPids, identify, titleOf, until } from '../../src/launcher/process/process-table.js';
import { testCache } from '../support/unpacked.js';
import { agentProgram } from './boot/agent-program.js';
import { type BootedHost, bootHost, lanOf } from './boot/boot-host.js';
import { type Keys, keysIn } from './boot/keys.js';
import { endMachine } from './boot/machine.js';
import { Ssh } from './boot/ssh.js';
import { buildLabImage, type LabImage } from './image/build-image.js';
import { hostNames, readyMs, usualMemoryMiB } from './lab.js';
import { labObstacle, mayDownload } from './obstacle.js';
import { type HostRecord, runs, StandingFolder } from './standing-host.js';

/** So many hosts may ever be in one standing lab: the first one's hub is made with so many ways. */
const MOST = 8;
const ONLINE_MS = 180_000;
const SYNC_MS = 20_000;

interface PoolHost {
  readonly id: string;
  readonly name: string;
  readonly state: string;
  readonly observedAt: string | null;
}

export interface StandingStatus {
  readonly name: string;
  readonly kind: 'xen' | 'plain';
  readonly state: 'running' | 'stopped';
  readonly pid: number | null;
  readonly agent: string;
  /** What a person types to come in. */
  readonly ssh: string;
}

/** The lab of a data folder, for people: it stays until `down`, and its hosts are hosts of the pool that runs there. */
export class StandingLab {
  private readonly hosts: StandingFolder;
  private readonly runtimeFolder: string;

  constructor(
    private readonly data: DataFolder,
    private readonly note: (line: string) => void,
  ) {
    this.hosts = new StandingFolder(join(data.path, 'lab'));
    this.runtimeFolder = prepareRuntimeFolder(data, readLauncherConfig().runtimeHome);
  }

  /** Adopts those that run, boots the others, and answers once all of them are online in the pool. */
  async up(wanted: { xen: number; plain: number; systemd: boolean }): Promise<StandingStatus[]> {
    if (isSimulated(this.data))
      throw failed(`${this.data.path} holds simulated hosts: a lab's are real ones.`);
    const client = openClient(this.data);
    const names = hostNames(wanted.xen, wanted.plain);
    const away = names.filter((name) => !this.isUp(name));
    if (away.length === 0) return this.status();
    const obstacle = labObstacle({ hosts: away.length });
    if (obstacle !== null) throw missing(`There can be no lab here: ${obstacle}.`);
    const image = await this.image();
    const numbers = this.numbersFor(away);
    // A way that a dead hub left behind looks like one that is open.
    if (numbers.includes(1))
      for (let other = 2; other <= MOST; other += 1) rmSync(this.wayOf(other), { force: true });
    const keys = await keysIn(this.hosts.path);
    await this.endOrphans();
    const booting = away.map((name, index) =>
      this.bootOne(
        client,
        { image, keys },
        { name, number: numbers[index] ?? MOST, systemd: wanted.systemd },
      ),
    );
    const trouble = (await Promise.allSettled(booting)).find((one) => one.status === 'rejected');
    if (trouble) throw trouble.reason;
    return this.status();
  }

  /** Switches off what runs. Says how many; an error names what would not end. */
  async down(): Promise<number> {
    const running = this.hosts.all().filter(runs);
    const keys = await keysIn(this.hosts.path);
    await this.endOrphans();
    const ended = await Promise.all(
      running.map(async (host) => {
        const socket = join(this.runtimeFolder, `${host.name}.ssh`);
        const ssh = new Ssh(host.name, this.hosts.folderOf(host.name), keys, host.ports.ssh, socket);
        // What is only in the host's memory would be lost; a host that does not answer is switched off all the same.
        await ssh.run(['sync'], { deadlineMs: SYNC_MS }).catch(() => undefined);
        return endMachine(host.machine);
      }),
    );
    const alive = running.filter((_, index) => !ended[index]);
    if (alive.length > 0)
      throw failed(
        `These do not end: ${alive.map(({ name, machine }) => `${name} (pid ${machine.pid})`).join(', ')}.`,
      );
    return running.length;
  }

  status(): StandingStatus[] {
    return this.hosts.all().map((host) => ({
      name: host.name,
      kind: host.kind,
      state: runs(host) ? 'running' : 'stopped',
      pid: runs(host) ? host.machine.pid : null,
      agent: `127.0.0.1:${host.ports.agent}`,
      ssh: `ssh -F ${join(this.hosts.folderOf(host.name), 'ssh_config')} ${host.name}`,
    }));
  }

  /** Hosts that were booting when the command was killed: nobody has written down their pid. */
  private async endOrphans(): Promise<void> {
    const known = this.hosts.all().map(({ machine }) => machine.pid);
    for (const pid of allPids()) {
      const ours = titleOf(pid).startsWith('qemu-system-') && titleOf(pid).includes(`${this.hosts.path}/`);
      const machine = ours && !known.includes(pid) ? identify(pid) : undefined;
      if (machine && !(await endMachine(machine))) throw failed(`QEMU with pid ${pid} does not end.`);
    }
  }

  private isUp(name: string): boolean {
    const host = this.hosts.find(name);
    return host !== undefined && runs(host);
  }

  private async image(): Promise<LabImage> {
    try {
      return await buildLabImage({ cacheDir: testCache, allowDownload: mayDownload(), note: this.note });
    } catch (error) {
      if (error instanceof PackageUnavailable) throw missing(error.message, { cause: error });
      throw error;
    }
  }

  /** A host keeps its number, and with it its address in the lab; new ones take the lowest that are free. */
  private numbersFor(names: readonly string[]): number[] {
    const taken = new Set(this.hosts.all().map(({ number }) => number));
    return names.map((name) => {
      const known = this.hosts.find(name)?.number;
      if (known !== undefined) return known;
      let free = 1;
      while (taken.has(free)) free += 1;
      if (free > MOST) throw failed(`A lab has at most ${MOST} hosts.`);
      taken.add(free);
      return free;
    });
  }

  private wayOf(number: number): string {
    const lan = lanOf(this.runtimeFolder, number, MOST);
    return lan && 'connect' in lan ? lan.connect : '';
  }

  private async bootOne(
    client: ApiClient,
    { image, keys }: { image: LabImage; keys: Keys },
    { name, number, systemd }: { name: string; number: number; systemd: boolean },
  ): Promise<void> {
    const before = this.hosts.find(name);
    const enrolled = before?.enrolled ?? false;
    const kind = name.startsWith('xen') ? 'xen' : 'plain';
    this.note(`booting ${name} …`);
    const began = new Date();
    const booted = await bootHost({
      ...{ name, kind, number, systemd, image, readyMs },
      ...{ memoryMiB: usualMemoryMiB[kind], ports: before?.ports, withParent: false },
      ...{ folder: this.hosts.folderOf(name), runtimeFolder: this.runtimeFolder },
      keys,
      lan: lanOf(this.runtimeFolder, number, MOST),
      agent: {
        program: agentProgram(),
        serverFile: this.data.serverFile,
        token: enrolled ? undefined : await this.tokenFor(client, name),
      },
    });
    const record = recordOf(booted, enrolled);
    this.hosts.save(record);
    const host = await this.untilOnline(client, name, began);
    this.hosts.save({ ...record, enrolled: true });
    this.note(`${name} is online: host ${host.id}, ${Math.round((Date.now() - began.getTime()) / 1_000)} s`);
  }

  private async tokenFor(client: ApiClient, name: string): Promise<string> {
    const known = (await client.list<PoolHost>('/v1/hosts')).some((host) => host.name === name);
    if (known)
      throw failed(
        `The pool has a host ${name} already, and its disk is not in ${this.hosts.folderOf(name)}.`,
      );
    const { id } = await ensureDefaultPool(client);
    const path = `/v1/pools/${id}/enrolment-tokens`;
    return (await client.post<{ token: string }>(path, { hostName: name })).token;
  }

  private async untilOnline(client: ApiClient, name: string, since: Date): Promise<PoolHost> {
    let found: PoolHost | undefined;
    const online = await until(
      async () => {
        const hosts = await client.list<PoolHost>('/v1/hosts');
        found = hosts.find((host) => host.name === name);
        // What was known before it was booted says nothing about now.
        return found?.state === 'online' && found.observedAt !== null && new Date(found.observedAt) >= since;
      },
      ONLINE_MS,
      250,
    );
    if (online && found) return found;
    const log = join(this.hosts.folderOf(name), 'ssh_config');
    throw failed(
      `${name} is up but not online; its agent's log: ssh -F ${log} ${name} cat /var/log/domus-agent.log`,
    );
  }
}

const recordOf = ({ spec, machine }: BootedHost, enrolled: boolean): HostRecord => ({
  name: spec.name,
  kind: spec.kind,
  number: spec.number,
  systemd: spec.systemd,
  ports: spec.ports,
  enrolled,
  machine,
});
