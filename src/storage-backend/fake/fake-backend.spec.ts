import { randomUUID } from 'node:crypto';
import { mkdir, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { repositoryFull } from '../../agent-contract/index.js';
import { fileNotFound, pathOutsideRepository } from '../../kernel/errors/problems.js';
import { exerciseBackend, refusal } from '../conformance/exercise-backend.js';
import { FakeBackend } from './fake-backend.js';

exerciseBackend(
  'fake',
  async () => {
    const folder = await mkdtemp(join(tmpdir(), 'domus-fake-'));
    const open = () => new FakeBackend({ stateFile: join(folder, 'storage.json') });
    return {
      backend: open(),
      repository: { id: randomUUID(), kind: 'directory', path: '/srv/images' },
      missing: { id: randomUUID(), kind: 'directory', path: '/srv/missing' },
      putFile: () => Promise.resolve(),
      restarted: open,
      close: () => rm(folder, { recursive: true }),
    };
  },
  ['raw', 'qcow2'],
);

exerciseBackend(
  'fake (as LVM)',
  () => {
    const backend = new FakeBackend({ kind: 'lvm' });
    return Promise.resolve({
      backend,
      repository: { id: randomUUID(), kind: 'lvm', path: '/dev/vg0' },
      missing: { id: randomUUID(), kind: 'lvm', path: '/dev/missing' },
      putFile: null,
      granularityBytes: 4 << 20,
      restarted: () => backend,
      close: () => Promise.resolve(),
    });
  },
  ['raw'],
);

describe('a folder that is really there', () => {
  it('has the files that it has, and no path leads out of it by a link', async () => {
    const path = await mkdtemp(join(tmpdir(), 'domus-fake-'));
    try {
      await mkdir(join(path, 'boot'));
      await writeFile(join(path, 'boot/vmlinuz'), 'kernel');
      await symlink('/etc/passwd', join(path, 'passwd'));
      const repository = { id: randomUUID(), kind: 'directory' as const, path };
      const fake = new FakeBackend();
      await fake.attach(repository, { create: false });
      const found = await fake.resolveFile(repository, 'boot/vmlinuz');
      expect(found).toEqual({ absolutePath: join(path, 'boot/vmlinuz'), sizeBytes: 6 });
      expect(await refusal(fake.resolveFile(repository, 'boot/initrd.img'))).toBe(fileNotFound.code);
      expect(await refusal(fake.resolveFile(repository, 'boot'))).toBe(fileNotFound.code);
      expect(await refusal(fake.resolveFile(repository, 'passwd'))).toBe(pathOutsideRepository.code);
      expect(await readdir(path)).toEqual(['boot', 'passwd']);
    } finally {
      await rm(path, { recursive: true });
    }
  });
});

describe('the faults of the fake backend', () => {
  const repository = { id: randomUUID(), kind: 'directory' as const, path: '/srv/images' };
  const volume = { id: randomUUID(), repository, format: 'raw' as const };

  it('come on command, after as many good calls as were asked for, and end', async () => {
    const fake = new FakeBackend();
    await fake.attach(repository, { create: true });
    fake.faults.fail('room', { error: new Error('broken'), after: 1, times: 2 });
    const answers = [];
    for (let call = 0; call < 4; call += 1) answers.push(await refusal(fake.room(repository)));
    expect(answers.map((answer) => answer === 'Error: broken')).toEqual([false, true, true, false]);
  });

  it('may lose an answer after the work was done', async () => {
    const fake = new FakeBackend();
    await fake.attach(repository, { create: true });
    fake.faults.fail('createVolume', { error: repositoryFull('lost'), at: 'answer' });
    expect(await refusal(fake.createVolume(volume, 512))).toBe(repositoryFull.code);
    expect(await fake.inspectVolume(volume)).toMatchObject({ sizeBytes: 512 });
  });
});
