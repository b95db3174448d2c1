import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { projectRoot } from '../../../src/launcher/project-root.js';
import { eventually } from '../../support/eventually.js';
import { type LabHost } from '../host.js';
import { Lab } from '../lab.js';
import * as guests from './guests.js';
import { recordVolumeGroup } from './volume-group.js';

/**
 * `npm run lab:record [-- xen | lvm]`: boots a Xen host, brings guests into every state there is, and writes down what Xen's own
 * tools say of them: the fixtures of the xen driver's pure functions. And a volume group, and what LVM says of it, for the lvm backend's.
 */
const [only] = process.argv.slice(2);
const folder = join(projectRoot, 'src/hypervisor-driver/xen/__fixtures__/recorded');
const lvmFolder = join(projectRoot, 'src/storage-backend/lvm/__fixtures__/recorded');
const say = (line: string): void => void process.stderr.write(`${line}\n`);

function write(name: string, text: string, into = folder): void {
  mkdirSync(join(into, name, '..'), { recursive: true });
  writeFileSync(join(into, name), text);
  say(`  ${name}`);
}

async function record(host: LabHost): Promise<void> {
  await prepareDisks(host);
  await host.run([
    'sh',
    '-c',
    'xenstore-watch @introduceDomain @releaseDomain >/tmp/watch.log 2>&1 </dev/null &',
  ]);
  write('xl-list-dom0-only.txt', await host.run(['xl', 'list']));
  await startGuests(host);
  await writeStates(host);
  await writeDevices(host);
  await writeDryRuns(host);
  await writeRefusals(host);
  for (const name of ['pv-running', 'pvh-running', 'pvh-paused', 'pv-shutdown', 'pvh-crashed'])
    await host.run(['xl', 'destroy', name]);
  write('xenstore-watch.txt', await host.run(['cat', '/tmp/watch.log']));
}

async function prepareDisks(host: LabHost): Promise<void> {
  for (const name of ['d1', 'd2']) await host.run(['lvcreate', '-q', '-y', '-n', name, '-L', '64M', 'vg0']);
  await host.run(['qemu-img', 'create', '-q', '-f', 'qcow2', '/var/lib/domus-lab/d2.qcow2', '64M']);
}

async function startGuests(host: LabHost): Promise<void> {
  for (const [name, config] of Object.entries({
    'pv-running': guests.runningPv,
    'pvh-running': guests.runningPvh,
    'pvh-paused': guests.pausedPvh,
    'pv-shutdown': guests.shutDownPv,
    'pvh-crashed': guests.crashedPvh,
  })) {
    say(`starting ${name} …`);
    await host.put(config, `/etc/xen/${name}.cfg`);
    await host.run(['xl', 'create', '-q', `/etc/xen/${name}.cfg`], { deadlineMs: 300_000 });
    await untilPrompt(host, name);
  }
  await host.run(['xl', 'pause', 'pvh-paused']);
  await host.run(['xl', 'shutdown', 'pv-shutdown']);
  await type(host, 'pvh-crashed', 'echo c >/proc/sysrq-trigger');
  for (const [name, state] of [
    ['pv-shutdown', 's'],
    ['pvh-crashed', 'c'],
  ] as const)
    await eventually(
      async () => (await host.run(['xl', 'list', name])).split('\n')[1]?.split(/\s+/)[4]?.includes(state),
      { within: 120_000, what: `that ${name} is in state ${state}` },
    );
}

const ttyOf = async (host: LabHost, name: string): Promise<string> => {
  const id = (await host.run(['xl', 'domid', name])).trim();
  return (await host.run(['xenstore-read', `/local/domain/${id}/console/tty`])).trim();
};

/** Xen keeps what a guest said until somebody reads its line. */
async function untilPrompt(host: LabHost, name: string): Promise<void> {
  await host.run(['timeout', '240', 'grep', '-m', '1', '-a', 'GUEST-READY', await ttyOf(host, name)], {
    deadlineMs: 250_000,
  });
}

async function type(host: LabHost, name: string, line: string): Promise<void> {
  await host.run(['sh', '-c', 'echo "$1" >"$2"', 'type', line, await ttyOf(host, name)]);
}

async function writeStates(host: LabHost): Promise<void> {
  for (const [file, argv] of Object.entries({
    'xl-info.txt': ['xl', 'info'],
    'xl-info-n.txt': ['xl', 'info', '-n'],
    'xl-list.txt': ['xl', 'list'],
    'xl-list-v.txt': ['xl', 'list', '-v'],
    'xl-list-l.json': ['xl', 'list', '-l'],
    'xl-list-l-one.json': ['xl', 'list', '-l', 'pvh-running'],
    'xl-vcpu-list.txt': ['xl', 'vcpu-list'],
    'xl-uptime.txt': ['xl', 'uptime'],
    'xl-sched-credit2.txt': ['xl', 'sched-credit2'],
  }))
    write(file, await host.run(argv));
  const dmesg = (await host.run(['xl', 'dmesg'])).split('\n').slice(0, 60);
  write('xl-dmesg-head.txt', `${dmesg.join('\n')}\n`);
}

async function writeDevices(host: LabHost): Promise<void> {
  write('xenstore-ls-f.txt', await host.run(['xenstore-ls', '-f']));
  for (const name of ['pv-running', 'pvh-running']) {
    write(`xl-block-list-${name}.txt`, await host.run(['xl', 'block-list', name]));
    write(`xl-network-list-${name}.txt`, await host.run(['xl', 'network-list', name]));
  }
}

async function writeDryRuns(host: LabHost): Promise<void> {
  for (const [name, config] of Object.entries(guests.dryRuns)) {
    await host.put(config, '/tmp/dry.cfg');
    write(`dry-run/${name}.cfg`, config);
    write(`dry-run/${name}.json`, await host.run(['xl', '-N', 'create', '/tmp/dry.cfg']));
  }
}

async function writeRefusals(host: LabHost): Promise<void> {
  const found: object[] = [];
  for (const [what, config] of Object.entries(guests.refusedConfigs)) {
    await host.put(config, '/tmp/refused.cfg');
    const argv = ['xl', 'create', '-q', '/tmp/refused.cfg'];
    found.push({ what, config, argv, ...(await host.try(argv, { deadlineMs: 300_000 })) });
    // Some of them leave a domain behind, which the driver will have to know; here it would be in the way.
    const left = (await host.try(['xl', 'domid', /name="([^"\n]+)/.exec(config)?.[1] ?? 'none'])).code === 0;
    if (left && what !== 'name taken') {
      Object.assign(found.at(-1) ?? {}, { leavesDomain: true });
      await host.try(['xl', 'destroy', /name="([^"\n]+)/.exec(config)?.[1] ?? 'none']);
    }
    say(`  refused: ${what}`);
  }
  for (const [what, argv] of Object.entries(guests.refusedCalls)) {
    found.push({ what, argv, ...(await host.try(argv)) });
    say(`  refused: ${what}`);
  }
  write('refusals.json', `${JSON.stringify(found, null, 2)}\n`);
}

const lab = await Lab.open({ xen: 1, memoryMiB: 2304, note: say });
try {
  await lab.watched('recording', async () => {
    const host = lab.host('xen-1');
    if (only !== 'xen') await recordVolumeGroup(host, (name, text) => write(name, text, lvmFolder));
    if (only === 'lvm') return;
    const old = existsSync(folder) ? readdirSync(folder).filter((name) => name !== 'README.md') : [];
    for (const name of old) rmSync(join(folder, name), { recursive: true });
    await record(host);
  });
} finally {
  await lab.close();
}
