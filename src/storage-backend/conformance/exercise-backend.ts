import { randomUUID } from 'node:crypto';
import {
  type RepositoryRef,
  type VolumeFormat,
  type VolumeRef,
  repositoryFull,
  repositoryUnavailable,
  volumeFileExists,
} from '../../agent-contract/index.js';
import { fileNotFound, pathOutsideRepository } from '../../kernel/errors/problems.js';
import { type ProblemDefinition } from '../../kernel/errors/problem.js';
import { type StorageBackend } from '../backend.js';
import { errorCode } from '../shared/error-code.js';

/** One backend on fresh storage, as the exam wants it. */
export interface BackendOnTrial {
  readonly backend: StorageBackend;
  /** Where a repository can be made; not attached yet. */
  readonly repository: RepositoryRef;
  /** Where none can be reached without making it. */
  readonly missing: RepositoryRef;
  /** Sees to it that a file of some size stands at this path inside the repository; null where repositories of the kind hold no files. */
  readonly putFile: ((path: string) => Promise<void>) | null;
  /** Every volume is a whole number of these; sectors of 512 bytes if it does not say. */
  readonly granularityBytes?: number;
  /** Reaches into an opened volume past the backend; absent where there are no bytes. */
  readonly bytes?: {
    read(path: string, at: number, count: number): Promise<Buffer>;
    write(path: string, at: number, data: Buffer): Promise<void>;
  };
  /** The same storage under a backend that remembers nothing of before. */
  restarted(): StorageBackend;
  close(): Promise<void>;
}

/** Rejects with the code of the problem, or with what else came of it. */
export async function refusal(work: Promise<unknown>): Promise<string> {
  try {
    return `no refusal: ${JSON.stringify(await work)}`;
  } catch (error) {
    return errorCode(error) ?? String(error);
  }
}

const LEAVING = [
  '/etc/shadow',
  '../secret',
  'boot/../../secret',
  'boot/..',
  '..',
  'boot/vmlinuz\0.txt',
  '\0',
];
const MEBIBYTE = 1024 * 1024;
/** A whole number of everything that storage rounds to. */
const SIZE = 4 * MEBIBYTE;

/**
 * The exam that every storage backend takes. `formats` are those that can be made where the exam runs (qcow2 needs
 * qemu-img). A bug found in one backend becomes a question here first.
 */
export function exerciseBackend(
  name: string,
  make: () => Promise<BackendOnTrial>,
  formats: readonly VolumeFormat[],
): void {
  describe(`the ${name} backend`, () => {
    let trial: BackendOnTrial;
    beforeEach(async () => {
      trial = await make();
    });
    afterEach(() => trial.close());

    const volume = (format: VolumeFormat, id: string = randomUUID()): VolumeRef => ({
      id,
      format,
      repository: trial.repository,
    });
    const whole = (sizeBytes: number): number => {
      const { granularityBytes = 512 } = trial;
      return Math.ceil(sizeBytes / granularityBytes) * granularityBytes;
    };
    const expectRefusal = async (work: Promise<unknown>, problem: ProblemDefinition) =>
      expect(await refusal(work)).toBe(problem.code);

    describe('a repository', () => {
      it('is attached any number of times and says its room', async () => {
        const first = await trial.backend.attach(trial.repository, { create: true });
        const again = await trial.backend.attach(trial.repository, { create: false });
        const room = await trial.backend.room(trial.repository);
        expect(first.capacityBytes).toBeGreaterThan(0);
        expect(again.capacityBytes).toBe(first.capacityBytes);
        expect(room.freeBytes).toBeLessThanOrEqual(room.capacityBytes);
        expect(room.granularityBytes ?? 512).toBe(trial.granularityBytes ?? 512);
      });

      it('is unavailable until it is attached', async () => {
        const { backend, repository } = trial;
        await expectRefusal(backend.room(repository), repositoryUnavailable);
        await expectRefusal(backend.resolveFile(repository, 'vmlinuz'), repositoryUnavailable);
        await expectRefusal(backend.createVolume(volume('raw'), SIZE), repositoryUnavailable);
        await expectRefusal(backend.inspectVolume(volume('raw')), repositoryUnavailable);
        await expectRefusal(backend.openPath(volume('raw')), repositoryUnavailable);
        await expectRefusal(backend.deleteVolume(volume('raw')), repositoryUnavailable);
      });

      it('is not made when it is not there and making was not asked for', async () => {
        await expectRefusal(trial.backend.attach(trial.missing, { create: false }), repositoryUnavailable);
        await expectRefusal(trial.backend.room(trial.missing), repositoryUnavailable);
      });

      it('is not taken over by another one', async () => {
        await trial.backend.attach(trial.repository, { create: true });
        const other = { ...trial.repository, id: randomUUID() };
        for (const create of [true, false]) {
          await expectRefusal(trial.backend.attach(other, { create }), repositoryUnavailable);
        }
        await expectRefusal(trial.backend.room(other), repositoryUnavailable);
      });
    });

    describe('a repository that was detached', () => {
      beforeEach(async () => {
        await trial.backend.attach(trial.repository, { create: true });
      });

      it('is unavailable, and another may take its place', async () => {
        await trial.backend.detach(trial.repository);
        await expectRefusal(trial.backend.room(trial.repository), repositoryUnavailable);
        const other = { ...trial.repository, id: randomUUID() };
        await trial.backend.attach(other, { create: false });
        expect((await trial.backend.room(other)).capacityBytes).toBeGreaterThan(0);
      });

      it('may be detached again, which takes no mark but its own', async () => {
        await trial.backend.detach({ ...trial.repository, id: randomUUID() });
        expect((await trial.backend.room(trial.repository)).capacityBytes).toBeGreaterThan(0);
        await trial.backend.detach(trial.repository);
        await trial.backend.detach(trial.repository);
      });
    });

    describe('a file', () => {
      beforeEach(async () => {
        await trial.backend.attach(trial.repository, { create: true });
        await trial.putFile?.('boot/vmlinuz');
      });

      it('is found, with its size and an absolute path, where the kind holds files; else no path finds one', async () => {
        if (!trial.putFile)
          return expectRefusal(trial.backend.resolveFile(trial.repository, 'boot/vmlinuz'), fileNotFound);
        const found = await trial.backend.resolveFile(trial.repository, 'boot/vmlinuz');
        expect(found.absolutePath).toMatch(/^\/.*\/boot\/vmlinuz$/);
        expect(found.sizeBytes).toBeGreaterThan(0);
      });

      const answers = async (paths: readonly string[]): Promise<[string, string][]> => {
        const found: [string, string][] = [];
        for (const path of paths)
          found.push([path, await refusal(trial.backend.resolveFile(trial.repository, path))]);
        return found;
      };

      it('is never outside of the repository, however it is asked for', async () => {
        expect(await answers(LEAVING)).toEqual(LEAVING.map((path) => [path, pathOutsideRepository.code]));
      });

      it('is never one of the volumes', async () => {
        const made = volume('raw');
        await trial.backend.createVolume(made, SIZE);
        const names = [`volumes/${made.id}.raw`, `./volumes/${made.id}.raw`, 'volumes', `domus-${made.id}`];
        for (const path of trial.putFile ? names.slice(0, 3) : names) {
          const problem = trial.putFile ? pathOutsideRepository : fileNotFound;
          await expectRefusal(trial.backend.resolveFile(trial.repository, path), problem);
        }
      });

      it('is refused when it is none', async () => {
        const paths = ['missing-vmlinuz', 'missing/vmlinuz', '.', './'];
        expect(await answers(paths)).toEqual(paths.map((path) => [path, fileNotFound.code]));
      });
    });

    describe.each(formats)('a %s volume', (format) => {
      beforeEach(async () => {
        await trial.backend.attach(trial.repository, { create: true });
      });

      it('is made, found, opened and deleted', async () => {
        const made = volume(format);
        expect(await trial.backend.inspectVolume(made)).toBeNull();
        const created = await trial.backend.createVolume(made, 3 * SIZE);
        expect(created.sizeBytes).toBe(3 * SIZE);
        expect(await trial.backend.inspectVolume(made)).toEqual(created);
        expect(await trial.backend.openPath(made)).toMatch(new RegExp(`^/.*${made.id}`));
        await trial.backend.deleteVolume(made);
        expect(await trial.backend.inspectVolume(made)).toBeNull();
        await expectRefusal(trial.backend.openPath(made), fileNotFound);
      });

      it('outlives the backend that made it', async () => {
        const made = volume(format);
        await trial.backend.createVolume(made, SIZE);
        const restarted = trial.restarted();
        expect(await restarted.inspectVolume(made)).toMatchObject({ sizeBytes: SIZE });
        await restarted.deleteVolume(made);
        expect(await trial.restarted().inspectVolume(made)).toBeNull();
      });

      it('has whole sectors, or what else the repository says that it is made of', async () => {
        const made = volume(format);
        const sizeBytes = whole(1_000_001);
        expect(sizeBytes % 512).toBe(0);
        expect(await trial.backend.createVolume(made, 1_000_001)).toMatchObject({ sizeBytes });
        expect(await trial.backend.createVolume(made, 1_000_001)).toMatchObject({ sizeBytes });
        expect(await trial.backend.inspectVolume(made)).toMatchObject({ sizeBytes });
      });

      it('is made once, however often it is asked for', async () => {
        const made = volume(format);
        const answers = await Promise.all([1, 2, 3].map(() => trial.backend.createVolume(made, SIZE)));
        for (const answer of answers) expect(answer.sizeBytes).toBe(SIZE);
        expect(await trial.backend.inspectVolume(made)).toMatchObject({ sizeBytes: SIZE });
      });

      it('is not made over other bytes of the same id, which stay', async () => {
        const made = volume(format);
        const other = volume(format === 'raw' ? 'qcow2' : 'raw', made.id);
        await trial.backend.createVolume(made, SIZE);
        await expectRefusal(trial.backend.createVolume(made, 2 * SIZE), volumeFileExists);
        await expectRefusal(trial.backend.createVolume(other, SIZE), volumeFileExists);
        await trial.backend.deleteVolume(other);
        expect(await trial.backend.inspectVolume(made)).toMatchObject({ sizeBytes: SIZE });
      });

      it('is refused whole when there is no room for it', async () => {
        const made = volume(format);
        const { capacityBytes } = await trial.backend.room(trial.repository);
        await expectRefusal(trial.backend.createVolume(made, capacityBytes + 512), repositoryFull);
        expect(await trial.backend.inspectVolume(made)).toBeNull();
      });

      it('that is raw reads as zeros, whatever stood on the storage before', async () => {
        if (format !== 'raw' || !trial.bytes) return;
        const end = SIZE - 4096;
        const [former, made] = [volume(format), volume(format)];
        await trial.backend.createVolume(former, SIZE);
        const before = await trial.backend.openPath(former);
        for (const at of [0, end]) await trial.bytes.write(before, at, Buffer.alloc(4096, 'a secret'));
        await trial.backend.deleteVolume(former);
        await trial.backend.createVolume(made, SIZE);
        const path = await trial.backend.openPath(made);
        for (const at of [0, end]) expect(await trial.bytes.read(path, at, 4096)).toEqual(Buffer.alloc(4096));
      });

      it('is listed while its bytes are there, and foreign repositories are not looked into', async () => {
        const made = volume(format);
        expect(await trial.backend.listVolumes(trial.repository)).toEqual([]);
        await trial.backend.createVolume(made, SIZE);
        expect(await trial.backend.listVolumes(trial.repository)).toEqual([{ id: made.id, format }]);
        expect(await trial.restarted().listVolumes(trial.repository)).toEqual([{ id: made.id, format }]);
        await trial.backend.deleteVolume(made);
        expect(await trial.backend.listVolumes(trial.repository)).toEqual([]);
        await expectRefusal(trial.backend.listVolumes(trial.missing), repositoryUnavailable);
      });

      it('is told of to those who watch, when it comes and when it goes, and to no one who left', async () => {
        const [made, before] = [volume(format), volume(format)];
        await trial.backend.createVolume(before, SIZE);
        let told: () => void = () => undefined;
        const stop = await trial.backend.watchVolumes(trial.repository, () => told());
        const news = () => new Promise<void>((resolve) => (told = resolve));
        const came = news();
        await trial.backend.createVolume(made, SIZE);
        await came;
        const went = news();
        await trial.backend.deleteVolume(made);
        await went;
        stop();
        let late = 0;
        told = () => void late++;
        await trial.backend.deleteVolume(before);
        expect(late).toBe(0);
      });

      it('is deleted any number of times', async () => {
        const made = volume(format);
        await trial.backend.deleteVolume(made);
        await trial.backend.createVolume(made, SIZE);
        await trial.backend.deleteVolume(made);
        await trial.backend.deleteVolume(made);
        expect(await trial.backend.inspectVolume(made)).toBeNull();
      });
    });
  });
}
