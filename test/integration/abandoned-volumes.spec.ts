import { access, mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { armFailpoints } from '../../src/kernel/failpoint.js';
import { eventually } from '../support/eventually.js';
import { standing } from '../support/held-calls.js';
import { type Body, type TestHost, type TestPool, testPool } from '../support/test-pool.js';
import { startWholeServer, type WholeHost, type WholeServer } from '../support/whole-server.js';

/**
 * A host is declared dead while it makes a volume on storage that others reach. Nobody knows whether its bytes are there: the volume
 * stays, and says so, until the host that has the right next has taken them away.
 */
afterEach(() => armFailpoints(undefined));

describe('on simulated hosts', () => {
  let pool: TestPool;
  let repositoryId: string;
  beforeEach(async () => {
    pool = await testPool({ hosts: 2, sharedStorage: true });
    const input = { name: 'shared', poolId: pool.poolId, path: '/shared', shared: true, create: true };
    repositoryId = (await pool.operate('POST', '/v1/storage-repositories', input)).target.id;
  }, 60_000);
  afterEach(() => pool?.close());

  const read = async (path: string): Promise<Body> => (await pool.rest('GET', path)).body;
  const executor = async (): Promise<TestHost> => {
    const [row] = await pool.source.query(`select host_id as id from executor where repository_id = $1`, [
      repositoryId,
    ]);
    return pool.hosts.find(({ id }) => id === row.id)!;
  };
  const other = ({ id }: TestHost): TestHost => pool.hosts.find((host) => host.id !== id)!;
  const makeInput = () => ({ name: 'v', repositoryId, sizeBytes: 4096 });
  const declaredDead = async (host: TestHost): Promise<void> => {
    await host.stopAgent();
    const word = { name: host.name, reason: 'its power supply burnt' };
    expect(await pool.operate('POST', `/v1/hosts/${host.id}/declare-dead`, word)).toMatchObject({
      state: 'succeeded',
    });
  };
  /** Until then nobody finds anything to be removed. */
  const unseen = (): (() => void) => {
    const { faults } = pool.hosts[0]!.storage;
    faults.fail('listVolumes', { error: new Error('planned by the test'), times: 1_000_000 });
    return () => faults.clear();
  };
  const bytesOf = async (id: string): Promise<unknown> => {
    const repository = { id: repositoryId, kind: 'directory' as const, path: '/shared' };
    return pool.hosts[0]!.storage.inspectVolume({ id, repository, format: 'raw' });
  };
  const isGone = (id: string) =>
    eventually(async () => (await pool.rest('GET', `/v1/volumes/${id}`)).status === 404, {
      within: 15_000,
      what: 'that the volume is gone',
    });
  const removals = async (id: string): Promise<Body[]> => {
    const filter = encodeURIComponent(`kind = "volume.delete" and target.id = "${id}"`);
    return (await read(`/v1/operations?filter=${filter}`)).items;
  };

  /** The volume of a create whose host was declared dead while it stood at this point. */
  async function abandoned(point: 'agent.after-begin' | 'agent.before-end'): Promise<string> {
    const host = await executor();
    const { stands } = standing(point, 'make');
    const asked = await pool.rest('POST', '/v1/volumes', makeInput());
    await stands;
    await declaredDead(host);
    expect(await read(`/v1/operations/${asked.body.id}`)).toMatchObject({
      state: 'failed',
      error: { code: 'host.declared_dead' },
    });
    return asked.body.target.id;
  }

  it.each([
    ['that had made its bytes', 'agent.before-end', true],
    ['that had made none yet', 'agent.after-begin', false],
  ] as const)(
    'the volume of a host %s is shown as abandoned, and removed by the next one, under its own right',
    async (_what, point, there) => {
      const before = await executor();
      const seen = unseen();
      const id = await abandoned(point);
      expect(await read(`/v1/volumes/${id}`)).toMatchObject({
        state: 'abandoned',
        actions: { delete: { allowed: true } },
      });
      expect((await bytesOf(id)) !== null).toBe(there);
      // It is no disk for anybody.
      const disks = [{ volumeId: id }];
      const used = await pool.rest('POST', '/v1/domains', {
        ...{ name: 'web', poolId: pool.poolId, memoryBytes: 2 ** 28, boot: { firmware: 'bios' }, disks },
      });
      expect([used.status, used.body.code]).toEqual([422, 'request.invalid']);

      seen();
      await isGone(id);
      expect(await bytesOf(id)).toBeNull();
      expect(await executor()).toBe(other(before));
      const [removal, ...more] = await removals(id);
      expect([removal, more]).toMatchObject([{ actor: 'system' }, []]);
      expect(await pool.ended(removal.id)).toMatchObject({ state: 'succeeded' });
      const events: Body[] = await pool.source.query(
        `select type, changes->>'state' as state from event where object_id = $1 order by ticket`,
        [id],
      );
      expect(events).toEqual([
        { type: 'volume.created', state: 'creating' },
        { type: 'volume.updated', state: 'abandoned' },
        { type: 'volume.updated', state: 'deleting' },
        { type: 'volume.deleted', state: null },
      ]);
      expect(await pool.source.query(`select * from hold`)).toEqual([]);
    },
    60_000,
  );

  it('somebody may delete it at once; one that takes that back finds it abandoned again', async () => {
    unseen();
    const id = await abandoned('agent.before-end');
    const claim = standing('claim.before');
    const removal = await pool.rest('DELETE', `/v1/volumes/${id}`);
    await claim.stands;
    await pool.rest('POST', `/v1/operations/${removal.body.id}/cancel`);
    expect(await read(`/v1/volumes/${id}`)).toMatchObject({ state: 'abandoned' });
    claim.goOn();
    expect(await pool.operate('DELETE', `/v1/volumes/${id}`)).toMatchObject({ state: 'succeeded' });
    expect(await bytesOf(id)).toBeNull();
  }, 60_000);

  it('waits for the dead host itself where nobody else reaches the storage', async () => {
    const host = await executor();
    await pool.source.query(`delete from attachment where host_id = $1`, [other(host).id]);
    const id = await abandoned('agent.before-end');
    expect(await pool.rest('DELETE', `/v1/volumes/${id}`)).toMatchObject({
      status: 503,
      body: { code: 'host.unreachable' },
    });
    expect(await read(`/v1/volumes/${id}`)).toMatchObject({ state: 'abandoned' });
    armFailpoints(undefined);
    await host.startAgent();
    await isGone(id);
    expect(await read(`/v1/hosts/${host.id}`)).toMatchObject({ state: 'online', fencedAt: null });
    expect(await bytesOf(id)).toBeNull();
  }, 60_000);

  it("a volume that was refused is gone, and another's bytes in its place are let be", async () => {
    const host = await executor();
    const { id } = (await pool.operate('POST', '/v1/volumes', makeInput())).target;
    await pool.source.query(`delete from volume where id = $1`, [id]);
    const { stands, goOn } = standing('turn-back.before');
    const asked = await pool.rest('POST', '/v1/volumes', { ...makeInput(), id, sizeBytes: 8192 });
    await stands;
    await declaredDead(host);
    expect(await read(`/v1/operations/${asked.body.id}`)).toMatchObject({ state: 'failed' });
    expect((await pool.rest('GET', `/v1/volumes/${id}`)).status).toBe(404);
    expect(await bytesOf(id)).toMatchObject({ sizeBytes: 4096 });
    goOn();
  }, 60_000);

  it("somebody's word that it failed leaves no bytes either; the word that it succeeded makes it ready", async () => {
    for (const outcome of ['failed', 'succeeded'] as const) {
      const seen = unseen();
      const held = standing('agent.before-end', 'make');
      const asked = await pool.rest('POST', '/v1/volumes', makeInput());
      await held.stands;
      await pool.source.query(
        `update operation set state = 'needs_attention', attempt = attempt + 1, lease_owner = null, error = '{"code": "host.unreachable"}'
          where id = $1`,
        [asked.body.id],
      );
      const path = `/v1/volumes/${asked.body.target.id}`;
      await pool.rest('POST', `/v1/operations/${asked.body.id}/resolve`, { outcome });
      expect(await read(path)).toMatchObject({ state: outcome === 'failed' ? 'abandoned' : 'ready' });
      held.goOn();
      seen();
      if (outcome === 'failed') await isGone(asked.body.target.id);
      else expect(await read(path)).toMatchObject({ state: 'ready' });
      expect((await bytesOf(asked.body.target.id)) !== null).toBe(outcome === 'succeeded');
    }
  }, 60_000);
});

describe('in a folder that two hosts have', () => {
  let server: WholeServer;
  let hosts: WholeHost[];
  beforeAll(async () => {
    server = await startWholeServer();
    hosts = [await server.addHost(), await server.addHost()];
  }, 60_000);
  afterAll(() => server?.close());

  const isThere = (path: string): Promise<boolean> =>
    access(path).then(
      () => true,
      () => false,
    );
  const read = async (path: string) => (await server.rest('GET', path)).body;

  it.each([
    ['a whole file', 'agent.before-end'],
    ['a half-made one', 'agent.after-begin'],
  ] as const)(
    '%s of a create whose host was declared dead is taken away by the other host',
    async (what, point) => {
      const folder = join(server.folder, what.replaceAll(' ', '-'));
      const volumes = join(folder, 'volumes');
      const { target } = await server.operate('POST', '/v1/storage-repositories', {
        ...{ name: what, poolId: server.poolId, path: folder, create: true, shared: true },
        hostId: hosts[0]!.hostId,
      });
      const { executorHostId } = await read(`/v1/storage-repositories/${target.id}`);
      const dead = hosts.find(({ hostId }) => hostId === executorHostId)!;
      const { stands } = standing(point, 'make');
      const asked = await server.rest('POST', '/v1/volumes', {
        ...{ name: 'v', repositoryId: target.id, sizeBytes: 1 << 20 },
      });
      await stands;
      const { id } = asked.body['target'] as { id: string };
      if (point === 'agent.before-end') expect(await isThere(join(volumes, `${id}.raw`))).toBe(true);
      else {
        // What a machine leaves that goes down in the middle.
        await mkdir(volumes, { mode: 0o700 });
        await writeFile(join(volumes, `.${id}.raw.new`), 'half');
      }
      await dead.stop();
      const word = { name: dead.name, reason: 'it burns' };
      expect(await server.operate('POST', `/v1/hosts/${dead.hostId}/declare-dead`, word)).toMatchObject({
        state: 'succeeded',
      });
      await eventually(async () => (await server.rest('GET', `/v1/volumes/${id}`)).status === 404, {
        within: 15_000,
        what: 'that the volume is gone',
      });
      expect(await readdir(volumes)).toEqual([]);
      armFailpoints(undefined);
      await dead.restart();
      expect(await read(`/v1/hosts/${dead.hostId}`)).toMatchObject({ state: 'online', fencedAt: null });
      // Back, it does not go on with it.
      expect(await readdir(volumes)).toEqual([]);
    },
    60_000,
  );
});
