import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type RepositoryRef, type VolumeRef } from '../../agent-contract/index.js';
import { refusal } from '../conformance/exercise-backend.js';
import { LvmBackend } from './lvm-backend.js';
import { type LvmTools, type ToolResult } from './lvm-tools.js';

/** The exam of all backends is taken on a real volume group: test/qemu/lvm-volumes.spec.ts, test/xen/lvm-volumes.spec.ts. */
const recorded = readFileSync(join(import.meta.dirname, '__fixtures__/recorded/report-volumes.json'), 'utf8');
const repository: RepositoryRef = {
  id: '01980000-0000-7000-8000-0000000000aa',
  kind: 'lvm',
  path: '/dev/vgrec',
};
const [active, inactive] = ['1', '2'].map((last): VolumeRef => ({
  id: `01980000-0000-7000-8000-00000000000${last}`,
  repository,
  format: 'raw',
})) as [VolumeRef, VolumeRef];
const done: ToolResult = { code: 0, stdout: '', stderr: '' };

/** Answers as recorded, but where `answers` says otherwise; and which words were given, without the report's. */
function playedTools(answers: Partial<Record<string, ToolResult | null>> = {}, report = recorded) {
  const given: string[] = [];
  const tools: LvmTools = {
    run: (program, args) => {
      if (program !== 'lvm') given.push([program, ...args].join(' '));
      const answer = answers[program];
      if (answer !== undefined) return Promise.resolve(answer);
      return Promise.resolve(program === 'lvm' ? { ...done, stdout: report } : done);
    },
    watch: () => () => undefined,
  };
  return { backend: new LvmBackend({ tools }), given };
}
const aVolume = (): VolumeRef => ({ id: randomUUID(), repository, format: 'raw' });

describe('a volume group', () => {
  it('is offered where the kernel has what volumes need, and not where only the tools are there', async () => {
    const version = '  LVM version:     2.03.16(2)\n  Driver version:  4.47.0\n';
    const answers: [ToolResult | null, boolean][] = [
      [{ ...done, stdout: version }, true],
      [{ ...done, stdout: version.replace(/ *Driver.*\n/, '') }, false],
      [{ ...done, code: 5 }, false],
      [null, false],
    ];
    for (const [lvm, offered] of answers) expect(await playedTools({ lvm }).backend.offered()).toBe(offered);
  });

  it.each(['/srv/vg0', '/dev/', '/dev/..', '/dev/a/b', '/dev/-a', '/dev/a b', '/dev/a;b'])(
    'is never looked for by a name that LVM would take for something else: %s',
    async (path) => {
      const { backend, given } = playedTools({ lvm: null });
      expect(await refusal(backend.attach({ ...repository, path }))).toBe('storage_repository.unavailable');
      expect(await refusal(backend.room({ ...repository, path }))).toBe('storage_repository.unavailable');
      expect(given).toEqual([]);
    },
  );

  it('that another repository marked in the same moment is given back by both', async () => {
    let reports = 0;
    const both = recorded.replace('rack-7', `domus-repository=${randomUUID()}`);
    const given: string[] = [];
    const tools: LvmTools = {
      run: (program, args) => {
        if (program !== 'lvm') given.push([program, ...args].join(' '));
        const unmarked = recorded.replace(/domus-repository=[0-9a-f-]+/, 'rack-8');
        return Promise.resolve(
          program === 'lvm' ? { ...done, stdout: reports++ === 0 ? unmarked : both } : done,
        );
      },
      watch: () => () => undefined,
    };
    const attached = new LvmBackend({ tools }).attach(repository);
    expect(await refusal(attached)).toBe('storage_repository.unavailable');
    expect(given).toEqual([
      `vgchange -q --addtag domus-repository=${repository.id} vgrec`,
      `vgchange -q --deltag domus-repository=${repository.id} vgrec`,
    ]);
  });
});

describe('a volume of it', () => {
  it('gets its name only once it is zeros', async () => {
    const { backend, given } = playedTools();
    const made = aVolume();
    await backend.createVolume(made, 5_000_000);
    expect(given).toEqual([
      `lvcreate -q -y -n domus-${made.id}.new -l 2 vgrec`,
      `blkdiscard --zeroout /dev/vgrec/domus-${made.id}.new`,
      `lvrename -q vgrec domus-${made.id}.new domus-${made.id}`,
    ]);
  });

  it('that cannot be made zeros is taken away again', async () => {
    const { backend, given } = playedTools({
      blkdiscard: { ...done, code: 1, stderr: 'BLKZEROOUT: I/O error' },
    });
    const made = aVolume();
    await expect(backend.createVolume(made, 1)).rejects.toThrow('I/O error');
    expect(given.at(-1)).toBe(`lvremove -q -y vgrec/domus-${made.id}.new`);
  });

  it('that a crash left half made is made anew, and is none until then', async () => {
    const report = recorded.replace(`domus-${active.id}"`, `domus-${active.id}.new"`);
    const { backend, given } = playedTools({}, report);
    expect(await backend.inspectVolume(active)).toBeNull();
    expect((await backend.listVolumes(repository)).map(({ id }) => id)).toEqual([inactive.id]);
    await backend.createVolume(active, 1);
    expect(given[0]).toBe(`lvremove -q -y vgrec/domus-${active.id}.new`);
    expect(given).toHaveLength(4);
  });

  it('is refused where another took the room meanwhile, by what LVM says', async () => {
    const stderr = '  Volume group "vgrec" has insufficient free space (1 extents): 2 required.\n';
    const { backend } = playedTools({ lvcreate: { ...done, code: 5, stderr } });
    expect(await refusal(backend.createVolume(aVolume(), 5_000_000))).toBe('storage_repository.full');
  });

  it('is never of a format that a volume group does not hold', async () => {
    const { backend, given } = playedTools();
    expect(await refusal(backend.createVolume({ ...aVolume(), format: 'qcow2' }, 512))).toBe(
      'capability.absent',
    );
    expect(given).toEqual([]);
  });

  it('is given a device before it is opened, where it has none', async () => {
    const { backend, given } = playedTools();
    expect(await backend.openPath(active)).toBe(`/dev/vgrec/domus-${active.id}`);
    expect(given).toEqual([]);
    expect(await backend.openPath(inactive)).toBe(`/dev/vgrec/domus-${inactive.id}`);
    expect(given).toEqual([`lvchange -q -ay vgrec/domus-${inactive.id}`]);
  });

  it('that somebody has open is not deleted, and one that went meanwhile is', async () => {
    const saying = (stderr: string) => playedTools({ lvremove: { ...done, code: 5, stderr } }).backend;
    const open = saying('  Logical volume vgrec/x in use.\n');
    expect(await refusal(open.deleteVolume(active))).toBe('volume.in_use');
    await saying('  Failed to find logical volume "vgrec/x"\n').deleteVolume(active);
    await expect(saying('  Device is gone.\n').deleteVolume(active)).rejects.toThrow('Device is gone.');
  });
});
