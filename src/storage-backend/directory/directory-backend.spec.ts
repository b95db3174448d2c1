import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import {
  mkdir,
  mkdtemp,
  open as openFile,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { type RepositoryRef, type VolumeRef } from '../../agent-contract/index.js';
import { exerciseBackend, refusal } from '../conformance/exercise-backend.js';
import { forgeQcow2, recordedHeaders } from '../image/__fixtures__/qcow2-headers.js';
import { DirectoryBackend } from './directory-backend.js';
import { createQcow2With, type CreateQcow2 } from './qemu-img.js';

/** In the place of qemu-img: a sound header of the size that was asked for. */
const headerOnly: CreateQcow2 = async (folder, name, size) => {
  await writeFile(`/proc/self/fd/${folder.fd}/${name}`, forgeQcow2({ size }));
};

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'domus-directory-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

exerciseBackend(
  'directory',
  async () => {
    const repository: RepositoryRef = {
      id: randomUUID(),
      kind: 'directory',
      path: join(folder, 'deep/repo'),
    };
    const open = () => new DirectoryBackend({ createQcow2: headerOnly });
    return {
      backend: open(),
      repository,
      missing: { id: randomUUID(), kind: 'directory', path: join(folder, 'nowhere') },
      putFile: async (path) => {
        await mkdir(dirname(join(repository.path, path)), { recursive: true });
        await writeFile(join(repository.path, path), 'some bytes');
      },
      bytes: {
        read: async (path, at, count) => {
          const file = await openFile(path, 'r');
          const { buffer } = await file.read(Buffer.alloc(count), 0, count, at).finally(() => file.close());
          return buffer;
        },
        write: async (path, at, data) => {
          const file = await openFile(path, 'r+');
          await file.write(data, 0, data.length, at).finally(() => file.close());
        },
      },
      restarted: open,
      close: () => Promise.resolve(),
    };
  },
  ['raw', 'qcow2'],
);

describe('a directory repository', () => {
  const backend = new DirectoryBackend({ createQcow2: headerOnly });
  let repository: RepositoryRef;
  let root: string;
  beforeEach(async () => {
    root = join(folder, 'repo');
    repository = { id: randomUUID(), kind: 'directory', path: root };
    await mkdir(join(root, 'boot'), { recursive: true });
    await writeFile(join(root, 'boot/vmlinuz'), 'kernel');
    await writeFile(join(folder, 'secret'), 'secret');
  });
  const volume = (format: 'raw' | 'qcow2' = 'raw', id: string = randomUUID()): VolumeRef => ({
    id,
    repository,
    format,
  });
  const volumesOf = () => readdir(join(root, 'volumes'));
  const resolve = (path: string) => refusal(backend.resolveFile(repository, path));

  describe('its mark', () => {
    it('adopts a folder that already holds files', async () => {
      await backend.attach(repository, { create: false });
      const found = await backend.resolveFile(repository, 'boot/vmlinuz');
      expect(found).toEqual({ absolutePath: join(root, 'boot/vmlinuz'), sizeBytes: 6 });
      expect(await readFile(join(root, '.domus-repository'), 'utf8')).toBe(`${repository.id}\n`);
    });

    it('that is gone after the first attach means that the disk is not there', async () => {
      await backend.attach(repository, { create: false });
      await rm(join(root, '.domus-repository'));
      expect(await refusal(backend.room(repository))).toBe('storage_repository.unavailable');
      expect(await refusal(backend.createVolume(volume(), 512))).toBe('storage_repository.unavailable');
      expect(await readdir(root)).toEqual(['boot']);
    });

    it('has one winner when two repositories attach the same folder at once', async () => {
      const rivals = Array.from({ length: 8 }, () => ({ ...repository, id: randomUUID() }));
      const answers = await Promise.all(
        rivals.map((rival) => refusal(backend.attach(rival, { create: true }))),
      );
      const winners = answers.filter((answer) => answer.startsWith('no refusal'));
      expect(winners).toHaveLength(1);
      expect((await readdir(root)).sort()).toEqual(['.domus-repository', 'boot']);
    });

    it('goes with an empty folder of volumes when the repository is detached, and nothing else goes', async () => {
      await backend.attach(repository, { create: false });
      const made = volume();
      await backend.createVolume(made, 512);
      await backend.deleteVolume(made);
      await backend.detach(repository);
      expect(await readdir(root)).toEqual(['boot']);
      await backend.attach(repository, { create: false });
      await backend.createVolume(made, 512);
      await backend.detach(repository);
      expect(await volumesOf()).toEqual([`${made.id}.raw`]);
    });

    it('is not read through a symbolic link', async () => {
      await writeFile(join(folder, 'mark'), repository.id);
      await symlink(join(folder, 'mark'), join(root, '.domus-repository'));
      expect(await refusal(backend.room(repository))).toBe('storage_repository.unavailable');
    });

    it('is never put on the root of the file system', async () => {
      const everything = { ...repository, path: '/' };
      expect(await refusal(backend.attach(everything, { create: true }))).toBe(
        'storage_repository.unavailable',
      );
    });

    it('is no file to boot from', async () => {
      await backend.attach(repository, { create: false });
      expect(await resolve('.domus-repository')).toBe('path.outside_repository');
    });

    it('is not put where a file stands', async () => {
      const onFile = { ...repository, path: join(folder, 'secret') };
      for (const create of [true, false]) {
        expect(await refusal(backend.attach(onFile, { create }))).toBe('storage_repository.unavailable');
      }
    });
  });

  describe('its confinement', () => {
    beforeEach(() => backend.attach(repository, { create: false }));

    it('holds against a link to a file, to a folder, to the outside and to the inside', async () => {
      await symlink('../../secret', join(root, 'boot/link'));
      await symlink(folder, join(root, 'up'));
      await symlink('vmlinuz', join(root, 'boot/inside'));
      await symlink('nowhere', join(root, 'dangling'));
      for (const path of ['boot/link', 'up/secret', 'up/repo/boot/vmlinuz', 'boot/inside', 'dangling']) {
        expect(await resolve(path)).toBe('path.outside_repository');
      }
    });

    it('holds against a folder, a FIFO and a socket, and never waits on one', async () => {
      await promisify(execFile)('mkfifo', [join(root, 'fifo')]);
      const server = createServer().listen(join(root, 'socket'));
      try {
        await new Promise((listening) => server.once('listening', listening));
        for (const path of ['boot', 'fifo', 'socket', 'fifo/deeper', 'boot/vmlinuz/deeper']) {
          expect(await resolve(path)).toBe('file.not_found');
        }
      } finally {
        server.close();
      }
    });

    it('takes names that only look dangerous for what they are', async () => {
      for (const name of ['..hidden', '-rf', 'a b', '...', 'ключ', 'x'.repeat(300)]) {
        expect(await resolve(name)).toBe('file.not_found');
      }
    });

    it('holds while a folder is swapped for a link under it', async () => {
      await mkdir(join(folder, 'outside'));
      await writeFile(join(folder, 'outside/vmlinuz'), 'a secret of the host');
      await symlink(join(folder, 'outside'), join(root, 'link'));
      let swapping = true;
      const swaps = (async () => {
        while (swapping) {
          await rename(join(root, 'boot'), join(root, 'aside'));
          await rename(join(root, 'link'), join(root, 'boot'));
          await rename(join(root, 'boot'), join(root, 'link'));
          await rename(join(root, 'aside'), join(root, 'boot'));
        }
      })();
      const seen = new Set<string>();
      try {
        for (let round = 0; round < 400; round += 1) {
          const found = backend.resolveFile(repository, 'boot/vmlinuz');
          seen.add(
            await found.then(
              ({ absolutePath, sizeBytes }) => `${absolutePath} ${sizeBytes}`,
              (error: unknown) => String(error).split(':')[1]?.trim() ?? '',
            ),
          );
        }
      } finally {
        swapping = false;
        await swaps;
      }
      const allowed = [`${join(root, 'boot/vmlinuz')} 6`, 'file.not_found', 'path.outside_repository'];
      expect([...seen].filter((answer) => !allowed.includes(answer))).toEqual([]);
      expect(seen.size).toBeGreaterThan(1);
    });

    it('holds for its folder of volumes', async () => {
      await symlink(folder, join(root, 'volumes'));
      expect(await refusal(backend.createVolume(volume(), 512))).toBe('storage_repository.unavailable');
      expect(await readdir(folder)).toEqual(['repo', 'secret']);
    });

    it('holds for a volume', async () => {
      const made = volume();
      await backend.createVolume(made, 512);
      await rm(join(root, `volumes/${made.id}.raw`));
      await symlink(join(folder, 'secret'), join(root, `volumes/${made.id}.raw`));
      expect(await refusal(backend.openPath(made))).toBe('volume.bad_image');
      expect(await refusal(backend.inspectVolume(made))).toBe('volume.bad_image');
      await backend.deleteVolume(made);
      expect(await readFile(join(folder, 'secret'), 'utf8')).toBe('secret');
    });

    it('may itself be reached through a link that an operator made', async () => {
      await symlink(root, join(folder, 'shortcut'));
      const shortcut = { ...repository, path: join(folder, 'shortcut') };
      const found = await backend.resolveFile(shortcut, 'boot/vmlinuz');
      expect(found.absolutePath).toBe(join(root, 'boot/vmlinuz'));
    });
  });

  describe('a volume of it', () => {
    beforeEach(() => backend.attach(repository, { create: false }));

    it('that is raw takes no room until it is written to, and nobody else may read it', async () => {
      const made = volume();
      const found = await backend.createVolume(made, 1024 * 1024 * 1024);
      const { mode, size } = await stat(join(root, `volumes/${made.id}.raw`));
      expect(found.allocatedBytes).toBeLessThan(1024 * 1024);
      expect([size, mode & 0o777]).toEqual([1024 * 1024 * 1024, 0o600]);
      expect((await stat(join(root, 'volumes'))).mode & 0o777).toBe(0o700);
    });

    it.each(['backing', 'external-data', 'luks'])('whose header became %s is not opened', async (name) => {
      const made = volume('qcow2');
      await backend.createVolume(made, 1024 * 1024);
      await writeFile(join(root, `volumes/${made.id}.qcow2`), recordedHeaders().get(name) ?? '');
      expect(await refusal(backend.openPath(made))).toBe('volume.bad_image');
      expect(await refusal(backend.createVolume(made, 1024 * 1024))).toBe('volume.exists');
    });

    it('that is raw is opened as raw whatever its guest wrote at its start', async () => {
      const made = volume();
      await backend.createVolume(made, 1024 * 1024);
      await writeFile(join(root, `volumes/${made.id}.raw`), recordedHeaders().get('backing') ?? '');
      expect(await backend.openPath(made)).toBe(join(root, `volumes/${made.id}.raw`));
    });

    it('leaves nothing behind when its making fails half-way', async () => {
      const failing = new DirectoryBackend({
        createQcow2: async (volumes, name) => {
          await writeFile(`/proc/self/fd/${volumes.fd}/${name}`, 'half');
          throw Object.assign(new Error('no space'), { code: 'ENOSPC' });
        },
      });
      expect(await refusal(failing.createVolume(volume('qcow2'), 512))).toBe('storage_repository.full');
      expect(await volumesOf()).toEqual([]);
    });

    it('is made although a crash left half of it', async () => {
      const made = volume('qcow2');
      await backend.createVolume(volume(), 512);
      await writeFile(join(root, `volumes/.${made.id}.qcow2.new`), 'half');
      expect(await backend.createVolume(made, 1024 * 1024)).toMatchObject({ sizeBytes: 1024 * 1024 });
      expect((await volumesOf()).filter((name) => name.startsWith('.'))).toEqual([]);
    });

    it('that is qcow2 needs qemu-img, and says so', async () => {
      const without = new DirectoryBackend({ createQcow2: createQcow2With('/nowhere/qemu-img') });
      expect(await refusal(without.createVolume(volume('qcow2'), 512))).toBe('capability.absent');
      expect(await volumesOf()).toEqual([]);
    });
  });

  it('leaves no handle open', async () => {
    await backend.attach(repository, { create: false });
    const handles = async () => (await readdir('/proc/self/fd')).length;
    const before = await handles();
    for (let round = 0; round < 20; round += 1) {
      const made = volume(round % 2 ? 'raw' : 'qcow2');
      await backend.createVolume(made, 512 * 1024);
      await backend.openPath(made);
      await backend.deleteVolume(made);
      await resolve('boot/vmlinuz');
      await resolve('boot/missing');
      await resolve('boot');
    }
    expect(await handles()).toBeLessThanOrEqual(before + 2);
  });
});
