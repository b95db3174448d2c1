import { reportArguments } from '../../../src/storage-backend/lvm/lvm-report.js';
import { type LabHost } from '../host.js';

const GROUP = 'vgrec';
const REPOSITORY = '01980000-0000-7000-8000-0000000000aa';
const VOLUMES = ['01980000-0000-7000-8000-000000000001', '01980000-0000-7000-8000-000000000002'] as const;
const [first, second] = VOLUMES.map((id) => `domus-${id}`) as [string, string];

/** What LVM refuses, after the group has the two volumes of which the first is open. */
const refused: Readonly<Record<string, readonly string[]>> = {
  'report of an unknown group': ['lvm', ...reportArguments('none')],
  'create of a name that is taken': ['lvcreate', '-q', '-y', '-n', first, '-l', '1', GROUP],
  'create of more than is free': ['lvcreate', '-q', '-y', '-n', 'more', '-l', '1000', GROUP],
  'create in an unknown group': ['lvcreate', '-q', '-y', '-n', 'more', '-l', '1', 'none'],
  'rename of an unknown volume': ['lvrename', '-q', GROUP, 'none', 'other'],
  'rename to a name that is taken': ['lvrename', '-q', GROUP, second, first],
  'remove of an unknown volume': ['lvremove', '-q', '-y', `${GROUP}/none`],
  'remove of a volume that is open': ['lvremove', '-q', '-y', `${GROUP}/${first}`],
  'remove of a volume that is mounted': ['lvremove', '-q', '-y', `${GROUP}/mounted`],
};

/** A volume group of its own on a file of the host, in every state that the backend reads, and the calls that LVM refuses. */
export async function recordVolumeGroup(
  host: LabHost,
  write: (name: string, text: string) => void,
): Promise<void> {
  const report = () => host.run(['lvm', ...reportArguments(GROUP)]);
  await host.run(['truncate', '-s', '96M', '/var/lib/domus-lab/record.img']);
  const loop = (await host.run(['losetup', '--find', '--show', '/var/lib/domus-lab/record.img'])).trim();
  try {
    write('lvm-version.txt', await host.run(['lvm', 'version']));
    await host.run(['vgcreate', '-q', GROUP, loop]);
    write('report-empty.json', await report());
    await host.run([
      'vgchange',
      '-q',
      '--addtag',
      `domus-repository=${REPOSITORY}`,
      '--addtag',
      'rack-7',
      GROUP,
    ]);
    for (const [index, name] of [first, second, 'mounted', 'somebody-elses'].entries())
      await host.run(['lvcreate', '-q', '-y', '-n', name, '-l', String(2 + index), GROUP]);
    await host.run(['lvchange', '-q', '-an', `${GROUP}/${second}`]);
    write('report-volumes.json', await report());
    await writeRefusals(host, write);
  } finally {
    await host.try(['umount', '/mnt']);
    await host.try(['vgremove', '-q', '-f', '-y', GROUP]);
    await host.try(['losetup', '-d', loop]);
    await host.try(['rm', '/var/lib/domus-lab/record.img']);
  }
}

async function writeRefusals(host: LabHost, write: (name: string, text: string) => void): Promise<void> {
  await host.run(['mke2fs', '-q', `/dev/${GROUP}/mounted`]);
  await host.run(['mount', `/dev/${GROUP}/mounted`, '/mnt']);
  // Held open for as long as its input is.
  const holder = host.open(['sh', '-c', 'exec 9<"$1" && echo open && cat', 'hold', `/dev/${GROUP}/${first}`]);
  await new Promise((resolve) => holder.stdout.once('data', resolve));
  const found: object[] = [];
  for (const [what, argv] of Object.entries(refused)) found.push({ what, argv, ...(await host.try(argv)) });
  holder.stdin.end();
  write('refusals.json', `${JSON.stringify(found, null, 2)}\n`);
}
