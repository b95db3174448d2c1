import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { type RepositoryRef, type VolumeRef } from '../../src/agent-contract/index.js';
import { createBackends } from '../../src/storage-backend/backends.js';
import { exerciseBackend, refusal } from '../../src/storage-backend/conformance/exercise-backend.js';

const run = promisify(execFile);
const open = () => createBackends({ qemuImg: 'qemu-img' }).directory;

exerciseBackend(
  'directory (with the real qemu-img)',
  async () => {
    const folder = await mkdtemp(join(tmpdir(), 'domus-qemu-img-'));
    const path = join(folder, 'repo');
    return {
      backend: open(),
      repository: { id: randomUUID(), kind: 'directory', path },
      missing: { id: randomUUID(), kind: 'directory', path: join(folder, 'nowhere') },
      putFile: async (file) => {
        await mkdir(dirname(join(path, file)), { recursive: true });
        await writeFile(join(path, file), 'some bytes');
      },
      restarted: open,
      close: () => rm(folder, { recursive: true }),
    };
  },
  ['qcow2'],
);

describe('a qcow2 volume made by the real qemu-img', () => {
  let folder: string;
  let repository: RepositoryRef;
  let volume: VolumeRef;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'domus-qemu-img-'));
    // A comma and a colon: QEMU reads both as more than letters of a name, where it is let to.
    repository = { id: randomUUID(), kind: 'directory', path: join(folder, 'nbd:a,b') };
    volume = { id: randomUUID(), format: 'qcow2', repository };
    await open().attach(repository, { create: true });
    await open().createVolume(volume, 5 * 1024 * 1024 * 1024);
  });
  afterEach(() => rm(folder, { recursive: true }));

  it('is what qemu-img itself takes for a sound image of that size', async () => {
    const file = `file:${await open().openPath(volume)}`;
    const { stdout } = await run('qemu-img', ['info', '--output=json', '-f', 'qcow2', file]);
    expect(JSON.parse(stdout)).toMatchObject({ format: 'qcow2', 'virtual-size': 5 * 1024 * 1024 * 1024 });
    await run('qemu-img', ['check', '-q', '-f', 'qcow2', file]);
  });

  it('is no longer opened once it was given a backing file', async () => {
    const path = await open().openPath(volume);
    await run('qemu-img', [
      'rebase',
      '-u',
      '-f',
      'qcow2',
      '-b',
      '/etc/hostname',
      '-F',
      'raw',
      `file:${path}`,
    ]);
    expect(await refusal(open().openPath(volume))).toBe('volume.bad_image');
    await open().deleteVolume(volume);
    expect(await readdir(join(repository.path, 'volumes'))).toEqual([]);
  });
});
