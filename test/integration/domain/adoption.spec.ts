import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { verifyBackup, writeBackup } from '../../../src/launcher/backup/backup-file.js';
import { exportDatabase, importDatabase } from '../../../src/launcher/backup/database-copy.js';
import { newId } from '../../../src/kernel/schema/values.js';
import { eventually } from '../../support/eventually.js';
import { type Body, GIBIBYTE, type TestHost, type TestPool, testPool } from '../../support/test-pool.js';

let pool: TestPool;
let first: TestHost;
let second: TestHost;
beforeEach(async () => {
  pool = await testPool({ hosts: 2, memoryBytes: 16 * GIBIBYTE });
  [first, second] = pool.hosts as [TestHost, TestHost];
}, 60_000);
afterEach(() => pool?.close());

const get = async (path: string): Promise<Body> => (await pool.rest('GET', path)).body;
const operate = async (method: string, path: string, body?: unknown): Promise<Body> => {
  const operation = await pool.operate(method, path, body);
  expect([path, operation.state, operation.error]).toEqual([path, 'succeeded', null]);
  return operation;
};
/** By its storage: a domain with a volume there runs nowhere else. */
const aDomainOn = async (host: TestHost, name: string, over: object = {}): Promise<string> => {
  const path = `/srv/${name}`;
  const input = { name, poolId: pool.poolId, path, hostId: host.id, create: true };
  const repositoryId = (await operate('POST', '/v1/storage-repositories', input)).target.id;
  const volume = { name: `disk of ${name}`, repositoryId, sizeBytes: 1024 * 1024 };
  const volumeId = (await operate('POST', '/v1/volumes', volume)).target.id;
  return pool.aDomain({ name, disks: [{ volumeId }], nics: [{}], ...over });
};
const start = (id: string) => operate('POST', `/v1/domains/${id}/start`);
const events = (type: string): Promise<Body[]> =>
  pool.source.query(`select object_id as id, changes from event where type = $1 order by ticket`, [type]);
const rows = (table: string, id: string): Promise<Body[]> =>
  pool.source.query(`select host_id from ${table} where domain_id = $1`, [id]);

/** The whole inventory as it is now; the returned function makes it so again, while no server runs. */
async function remember(): Promise<() => Promise<void>> {
  const file = join(pool.folder, `${newId()}.backup`);
  await writeBackup(file, exportDatabase(pool.databaseUrl, readFileSync(join(pool.folder, 'secret.key'))));
  const header = await verifyBackup(file);
  return async () => {
    await importDatabase(pool.databaseUrl, file, header, { force: true });
  };
}
const timeless = ({ updatedAt: _, createdAt: __, observedAt: ___, revision: ____, ...rest }: Body): Body =>
  rest;

describe('an inventory that was restored from an old copy', () => {
  it('gets back the domains that were made since, as their hosts hold them, with all that belongs to them', async () => {
    const restore = await remember();
    const id = await aDomainOn(first, 'since', {
      vcpus: 2,
      autostart: { policy: 'always', order: 2, delaySeconds: 3 },
      onCrash: 'restart',
      onReboot: 'halt',
      virtualization: 'hvm',
    });
    await start(id);
    const over = await aDomainOn(first, 'over');
    await start(over);
    await operate('POST', `/v1/domains/${over}/force-off`);
    const [before, volumeId] = [await pool.domain(id), (await pool.domain(id)).disks[0].volumeId];
    const volume = await get(`/v1/volumes/${volumeId}`);
    const since = first.hypervisor.get(id)?.since;

    await pool.restartServer(restore);
    expect((await pool.rest('GET', `/v1/domains/${id}`)).status).toBeDefined();
    const after = await pool.inState(id, 'running', 15_000);
    expect(timeless(after)).toEqual(timeless(before));
    expect(timeless(await get(`/v1/volumes/${volumeId}`))).toEqual(timeless(volume));
    expect([await rows('claim', id), await rows('hold', id)]).toEqual([
      [{ host_id: first.id }],
      [{ host_id: first.id }],
    ]);
    await pool.inState(over, 'halted', 10_000);
    expect(await rows('claim', over)).toEqual([]);
    expect(first.hypervisor.get(id)?.since).toBe(since);
    expect(first.hypervisor.countEffects('started')).toBe(2);
    expect(
      (await events('host.unknown_guest')).map(({ changes }) => [changes.domainId, changes.reaction]),
    ).toEqual(
      expect.arrayContaining([
        [id, 'adopted'],
        [over, 'adopted'],
      ]),
    );
    // It is a domain like any other now.
    await operate('POST', `/v1/domains/${id}/reboot`);
    await operate('POST', `/v1/domains/${id}/force-off`);
    await start(over);
  }, 90_000);

  it('takes generations forward, believes who runs a newer one elsewhere, and starts nothing twice', async () => {
    const moved = await pool.aDomain({ name: 'moved' });
    const ended = await pool.aDomain({ name: 'ended' });
    const onlyOn = (host: TestHost) =>
      pool.source.query(`update host set state = case when id = $1 then 'online' else 'offline' end`, [
        host.id,
      ]);
    const startOn = async (host: TestHost, id: string) => {
      await first.stopAgent();
      await second.stopAgent();
      await host.startAgent();
      await onlyOn(host);
      await eventually(async () => (await get(`/v1/hosts/${host.id}`)).state === 'online');
      await start(id);
    };
    await startOn(first, moved);
    const restore = await remember();
    await operate('POST', `/v1/domains/${moved}/force-off`);
    await startOn(second, moved);
    await operate('POST', `/v1/domains/${moved}/force-off`);
    await start(moved);
    await start(ended);
    await operate('POST', `/v1/domains/${ended}/force-off`);
    await first.startAgent();
    const { generation } = await pool.domain(moved);
    expect(generation).toBe(3);

    await pool.restartServer(restore);
    const found = await eventually(
      async () => {
        const domain = await pool.domain(moved);
        return domain.hostId === second.id && domain.state === 'running' && domain;
      },
      { within: 20_000, what: 'the domain on the second host' },
    );
    expect(found).toMatchObject({ generation });
    expect(await rows('claim', moved)).toEqual([{ host_id: second.id }]);
    await eventually(async () => (await pool.domain(ended)).generation === 1, {
      within: 10_000,
      what: 'the generation of the halted domain',
    });
    expect(first.hypervisor.countEffects('started')).toBe(1);
    expect(second.hypervisor.countEffects('started')).toBe(3);
    expect(first.hypervisor.get(moved)).toMatchObject({ state: 'halted' });
    await start(ended);
  }, 120_000);

  it('does not guess from the copy what is to be started after a boot since', async () => {
    const id = await pool.aDomain();
    await start(id);
    const restore = await remember();
    await operate('POST', `/v1/domains/${id}/shutdown`);
    await first.reboot();
    await second.reboot();
    await pool.restartServer(restore);
    await pool.inState(id, 'halted', 15_000);
    expect(await pool.source.query(`select 1 from operation where kind = 'host.autostart'`)).toEqual([]);
  }, 90_000);
});

describe('a guest that is in no inventory', () => {
  const stranger = async (): Promise<string> => {
    const id = await aDomainOn(first, 'stranger');
    await start(id);
    const held = first.hypervisor.get(id)!.domain;
    await operate('POST', `/v1/domains/${id}/force-off`);
    const otherId = newId();
    const { origin } = held;
    await first.hypervisor.run({
      ...held,
      id: otherId,
      ...(origin ? { origin: { ...origin, id: otherId, disks: [], nics: [], consoles: [] } } : {}),
      disks: [],
      nics: [],
      consoles: [],
    });
    return otherId;
  };
  const unknownGuest = async (policy: 'adopt' | 'revert') => {
    const { revision } = await get(`/v1/pools/${pool.poolId}`);
    await pool.rest(
      'PATCH',
      `/v1/pools/${pool.poolId}`,
      { outOfBand: { unknownGuest: policy } },
      { 'if-match': `"${revision}"` },
    );
  };
  const told = (domainId: string, within = 2_000): Promise<Body> =>
    eventually(
      async () => (await events('host.unknown_guest')).find(({ changes }) => changes.domainId === domainId),
      { within, what: `an event about ${domainId}` },
    );

  it('is an event within two seconds, and is entered from what its host holds', async () => {
    const id = await stranger();
    expect(await told(id)).toMatchObject({
      id: first.id,
      changes: { reaction: 'adopted', state: 'running' },
    });
    expect(await pool.domain(id)).toMatchObject({
      name: 'stranger',
      state: 'running',
      desiredState: 'running',
    });
    await operate('POST', `/v1/domains/${id}/force-off`);
    await operate('DELETE', `/v1/domains/${id}`);
    expect(first.hypervisor.get(id)).toBeUndefined();
  }, 60_000);

  it('is ended and forgotten where the pool says so', async () => {
    await unknownGuest('revert');
    const id = await stranger();
    expect(await told(id)).toMatchObject({ changes: { reaction: 'ending' } });
    await eventually(async () => first.hypervisor.get(id) === undefined, { within: 3_000, what: 'its end' });
    expect(first.hypervisor.countEffects('ended', id)).toBe(1);
    expect((await pool.rest('GET', `/v1/domains/${id}`)).status).toBe(404);
  }, 60_000);

  it('of which its host holds no spec is let be, and told of once', async () => {
    const id = newId();
    const { domain } = await (async () => {
      const known = await pool.aDomain();
      await start(known);
      return [first, second].map((host) => host.hypervisor.get(known)).find((guest) => guest)!;
    })();
    await first.hypervisor.run({ ...domain, id, origin: undefined });
    expect(await told(id)).toMatchObject({ changes: { reaction: 'left' } });
    await first.stopAgent();
    await first.startAgent();
    const other = await aDomainOn(first, 'witness');
    await start(other);
    expect(
      (await events('host.unknown_guest')).filter(({ changes }) => changes.domainId === id),
    ).toHaveLength(1);
    expect(first.hypervisor.get(id)).toMatchObject({ state: 'running' });
  }, 60_000);
});
