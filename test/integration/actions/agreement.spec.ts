import { newId } from '../../../src/kernel/schema/values.js';
import { consoleModel } from '../../../src/modules/console/index.js';
import { domainModel } from '../../../src/modules/domain/index.js';
import { networkModel } from '../../../src/modules/network/index.js';
import { storageRepositoryModel, volumeModel } from '../../../src/modules/storage/index.js';
import { type ReadModel } from '../../../src/kernel/database/read-model.js';
import { type Reply, type TestPool, testPool } from '../../support/test-pool.js';
import { type Agreement, sum, verbsAgree } from '../../support/verbs-agree.js';
import { aRepository, aVolume, domainIn, lockFor, lockings, offlineHost } from '../../support/situations.js';

/**
 * Objects are put into every situation that the tables know of; then each verb is called, and must answer exactly what
 * `actions` said just before: accepted, or refused with the same blockers.
 */
let pool: TestPool;
let online: string;
let offline: string;

beforeAll(async () => {
  pool = await testPool({ hosts: 1 });
  online = pool.hosts[0]!.id;
  offline = await offlineHost(pool);
}, 60_000);
afterAll(() => pool?.close());

const anyRevision = { 'if-match': '*' };
const verbs: Readonly<Record<string, Readonly<Record<string, (path: string) => Promise<Reply>>>>> = {
  domains: {
    update: (path) => pool.rest('PATCH', path, { name: 'other' }, anyRevision),
    reconfigure: (path) => pool.rest('PATCH', path, { vcpus: 3 }, anyRevision),
    start: (path) => pool.rest('POST', `${path}/start`),
    shutdown: (path) => pool.rest('POST', `${path}/shutdown`, { deadlineSeconds: 1 }),
    reboot: (path) => pool.rest('POST', `${path}/reboot`, { deadlineSeconds: 1 }),
    pause: (path) => pool.rest('POST', `${path}/pause`),
    resume: (path) => pool.rest('POST', `${path}/resume`),
    reset: (path) => pool.rest('POST', `${path}/reset`),
    forceOff: (path) => pool.rest('POST', `${path}/force-off`),
    delete: (path) => pool.rest('DELETE', path),
  },
  'storage-repositories': {
    update: (path) => pool.rest('PATCH', path, { name: `n-${newId()}` }, anyRevision),
    delete: (path) => pool.rest('DELETE', path),
  },
  volumes: {
    update: (path) => pool.rest('PATCH', path, { name: 'other' }, anyRevision),
    delete: (path) => pool.rest('DELETE', path),
  },
  networks: {
    update: (path) => pool.rest('PATCH', path, { name: `n-${newId()}` }, anyRevision),
    delete: (path) => pool.rest('DELETE', path),
  },
  consoles: { createSession: (path) => pool.rest('POST', `${path}/sessions`, {}) },
  pools: {
    update: (path) => pool.rest('PATCH', path, { name: `p-${newId()}` }, anyRevision),
    createEnrolmentToken: (path) => pool.rest('POST', `${path}/enrolment-tokens`, {}),
  },
};

const agree = (
  model: ReadModel,
  collection: string,
  situation: string,
  make: () => Promise<string>,
): Promise<Agreement> =>
  verbsAgree(pool, { model, collection, verbs: verbs[collection] ?? {} }, situation, make);

describe('what actions say is what the verb answers', () => {
  it('of a domain, in every state, held by anybody, on any host', async () => {
    const counts = [];
    for (const state of ['halted', 'running', 'paused', 'suspended', 'crashed', 'unknown'])
      for (const locking of lockings)
        for (const [place, hostId] of Object.entries({ online, offline, nowhere: null }))
          counts.push(
            await agree(domainModel, 'domains', `${state}, ${locking}, ${place}`, async () => {
              const id = await domainIn(pool, { state, hostId });
              await lockFor(pool, { type: 'domain', id }, locking);
              return id;
            }),
          );
    const { called, refused } = sum(counts);
    expect(called).toBe(6 * 5 * 3 * 10);
    expect(refused).toBeGreaterThan(called / 2);
    expect(refused).toBeLessThan(called);
  }, 300_000);

  it('of a domain that wants what its pool has not', async () => {
    const nowhere = await aRepository(pool, []);
    const away = await aRepository(pool, [offline]);
    const here = await aRepository(pool, [online]);
    const disk = async (repositoryId: string) => [{ volumeId: await aVolume(pool, repositoryId) }];
    const kernel = (repositoryId: string) => ({
      kernel: { repositoryId, path: 'vmlinuz' },
      initramfs: null,
      commandLine: '',
    });
    const held = async (mode: 'ro' | 'rw', by: 'domain' | 'operation', readOnly: boolean) => {
      const volumeId = await aVolume(pool, here);
      const other = by === 'domain' ? await domainIn(pool) : null;
      await pool.source.query(
        `insert into hold (volume_id, host_id, mode, generation, domain_id, operation_id) values ($1, $2, $3, 1, $4, $5)`,
        [volumeId, online, mode, other, other === null ? newId() : null],
      );
      return domainIn(pool, { disks: [{ volumeId, readOnly }] });
    };
    const situations: Record<string, () => Promise<string>> = {
      'more memory than any host has': () => domainIn(pool, { memoryBytes: 2 ** 45 }),
      'a disk that no host reaches': async () => domainIn(pool, { disks: await disk(nowhere) }),
      'a disk that a lost host reaches': async () => domainIn(pool, { disks: await disk(away) }),
      'disks on two hosts': async () =>
        domainIn(pool, { disks: [...(await disk(away)), ...(await disk(here))] }),
      'a disk that is there': async () => domainIn(pool, { disks: await disk(here) }),
      'a kernel that no host reaches': () => domainIn(pool, { boot: kernel(nowhere) }),
      'a kernel that is there': () => domainIn(pool, { boot: kernel(here) }),
      'a volume that another domain writes': () => held('rw', 'domain', false),
      'a volume that another domain reads': () => held('ro', 'domain', false),
      'a volume that both only read': () => held('ro', 'domain', true),
      'a volume that an operation works on': () => held('rw', 'operation', true),
    };
    const counts = [];
    for (const [situation, make] of Object.entries(situations))
      counts.push(await agree(domainModel, 'domains', situation, make));
    expect(sum(counts).called).toBe(11 * 10);
  }, 120_000);

  it('of a volume, in every state, used and held by anybody, wherever its repository is', async () => {
    const use: Record<string, (volumeId: string) => Promise<unknown>> = {
      free: async () => undefined,
      disk: (volumeId) => domainIn(pool, { disks: [{ volumeId }] }),
      held: (volumeId) =>
        pool.source.query(
          `insert into hold (volume_id, host_id, mode, generation, operation_id) values ($1, $2, 'rw', 1, $3)`,
          [volumeId, online, newId()],
        ),
    };
    const counts = [];
    for (const state of ['creating', 'ready', 'missing', 'deleting', 'abandoned'])
      for (const [used, useIt] of Object.entries(use))
        for (const [place, hosts] of Object.entries({
          nowhere: [],
          away: [offline],
          here: [online, offline],
        }))
          for (const locking of ['free', 'held', 'repository'] as const)
            counts.push(
              await agree(volumeModel, 'volumes', `${state}, ${used}, ${place}, ${locking}`, async () => {
                const repositoryId = await aRepository(pool, hosts);
                const id = await aVolume(pool, repositoryId, state);
                await useIt(id);
                if (locking === 'repository')
                  await lockFor(pool, { type: 'storage_repository', id: repositoryId }, 'held');
                else await lockFor(pool, { type: 'volume', id }, locking);
                return id;
              }),
            );
    expect(sum(counts).called).toBe(5 * 3 * 3 * 3 * 2);
  }, 120_000);

  it('of a volume, whoever is the executor of its repository', async () => {
    const executors: Record<
      string,
      { hostId: string | null; epoch?: number; leaving?: boolean; on?: string[] }
    > = {
      nobody: { hostId: null },
      here: { hostId: online },
      away: { hostId: offline },
      'declared dead since': { hostId: offline, epoch: 0 },
      leaving: { hostId: online, leaving: true },
      'where it is attached no more': { hostId: online, on: [offline] },
    };
    const counts = [];
    for (const [who, executor] of Object.entries(executors))
      counts.push(
        await agree(volumeModel, 'volumes', who, async () => {
          const { hostId, epoch, leaving, on } = {
            epoch: 1,
            leaving: false,
            on: [online, offline],
            ...executor,
          };
          const repositoryId = await aRepository(pool, on);
          await pool.source.query(
            `insert into executor (repository_id, host_id, host_epoch, generation, leaving) values ($1, $2, $3, 7, $4)`,
            [repositoryId, hostId ?? null, epoch, leaving],
          );
          return aVolume(pool, repositoryId);
        }),
      );
    expect(sum(counts)).toEqual({ called: 6 * 2, refused: 3 });
  }, 60_000);

  it('of a storage repository, in every state, with anything in it', async () => {
    const counts = [];
    for (const state of ['creating', 'ready', 'deleting'])
      for (const content of ['nothing', 'volume', 'kernel', 'initramfs'])
        for (const locking of lockings)
          counts.push(
            await agree(
              storageRepositoryModel,
              'storage-repositories',
              `${state}, ${content}, ${locking}`,
              async () => {
                const id = await aRepository(pool, [online], state);
                const other = { repositoryId: newId(), path: 'k' };
                const file = { repositoryId: id, path: 'k' };
                if (content === 'volume') await aVolume(pool, id);
                if (content === 'kernel') await domainIn(pool, { boot: { kernel: file, initramfs: null } });
                if (content === 'initramfs')
                  await domainIn(pool, { boot: { kernel: other, initramfs: file } });
                await lockFor(pool, { type: 'storage_repository', id }, locking);
                return id;
              },
            ),
          );
    expect(sum(counts).called).toBe(3 * 4 * 5 * 2);
  }, 120_000);

  it('of a network, with cards or without, held by anybody', async () => {
    const counts = [];
    for (const used of [false, true])
      for (const locking of lockings)
        counts.push(
          await agree(networkModel, 'networks', `${used}, ${locking}`, async () => {
            const id = newId();
            await pool.source.query(
              `insert into network (id, pool_id, name, kind) values ($1, $2, $3, 'user')`,
              [id, pool.poolId, `n-${id}`],
            );
            if (used) await domainIn(pool, { networkId: id });
            await lockFor(pool, { type: 'network', id }, locking);
            return id;
          }),
        );
    expect(sum(counts).called).toBe(2 * 5 * 2);
  }, 60_000);

  it('of a console, whatever its domain does', async () => {
    const counts = [];
    for (const state of ['halted', 'running', 'paused', 'suspended', 'crashed', 'unknown'])
      for (const hostId of [online, null])
        counts.push(
          await agree(consoleModel, 'consoles', `${state}, ${hostId}`, async () => {
            const domainId = await domainIn(pool, { state, hostId });
            const [row] = await pool.source.query<{ id: string }[]>(
              `select id from console where domain_id = $1`,
              [domainId],
            );
            return row!.id;
          }),
        );
    const { called, refused } = sum(counts);
    expect([called, refused]).toEqual([12, 10]);
  }, 60_000);
});
