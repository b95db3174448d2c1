import { mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createBackends } from '../../../src/storage-backend/backends.js';
import { eventually } from '../../support/eventually.js';
import { startWholeServer, type WholeHost, type WholeServer } from '../../support/whole-server.js';

let server: WholeServer;
let host: WholeHost;
let repositoryId: string;
let folder: string;
beforeAll(async () => {
  server = await startWholeServer();
  host = await server.addHost({ backends: createBackends({ qemuImg: 'qemu-img' }) });
  folder = join(server.folder, 'images');
  mkdirSync(folder);
  const input = { name: 'images', poolId: server.poolId, path: folder, hostId: host.hostId };
  repositoryId = (await server.operate('POST', '/v1/storage-repositories', input)).target.id;
}, 60_000);
afterAll(() => server?.close());

const aVolume = async (name: string): Promise<{ id: string; file: string }> => {
  const input = { name, repositoryId, sizeBytes: 1024 * 1024 };
  const { target, state } = await server.operate('POST', '/v1/volumes', input);
  expect(state).toBe('succeeded');
  return { id: target.id, file: join(folder, 'volumes', `${target.id}.raw`) };
};
const volume = async (id: string) => (await server.rest('GET', `/v1/volumes/${id}`)).body;
const becomes = (id: string, state: string, within: number) =>
  eventually(async () => (await volume(id))['state'] === state, { within, what: `volume ${id} ${state}` });
const events = (id: string, type: string) =>
  server.rows<{ changes: Record<string, unknown>; operation_id: string | null }>(
    `select changes, operation_id from event where object_id = $1 and type = $2`,
    [id, type],
  );
const aDomainWith = async (volumeId: string): Promise<string> => {
  const input = {
    name: 'web',
    poolId: server.poolId,
    memoryBytes: 2 ** 28,
    boot: { firmware: 'bios' },
    disks: [{ volumeId }],
  };
  return (await server.operate('POST', '/v1/domains', input)).target.id;
};

describe('a volume whose file is deleted behind the back of Domus', () => {
  it('is missing within two seconds, no domain can start with it, and is ready again when its file is back', async () => {
    const { id, file } = await aVolume('kept');
    const domainId = await aDomainWith(id);
    renameSync(file, join(server.folder, 'aside.raw'));
    await becomes(id, 'missing', 2_000);
    expect(await events(id, 'volume.missing')).toEqual([
      { changes: { state: 'missing', cause: 'out_of_band', domainIds: [domainId] }, operation_id: null },
    ]);
    const refused = await server.rest('POST', `/v1/domains/${domainId}/start`);
    expect([refused.status, refused.body]).toEqual([
      409,
      expect.objectContaining({
        code: 'volume.missing',
        blockers: [expect.objectContaining({ object: { type: 'volume', id } })],
      }),
    ]);
    const { actions } = (await server.rest('GET', `/v1/domains/${domainId}`)).body as {
      actions: { start: { allowed: boolean; blockers: unknown[] } };
    };
    expect(actions.start).toEqual({ allowed: false, blockers: refused.body['blockers'] as unknown[] });
    expect(await server.rows(`select 1 from claim where domain_id = $1`, [domainId])).toEqual([]);
    const taken = await server.rest('POST', '/v1/domains', {
      name: 'other',
      poolId: server.poolId,
      memoryBytes: 2 ** 28,
      boot: { firmware: 'bios' },
      disks: [{ volumeId: id }],
    });
    expect(taken.status).toBe(422);

    renameSync(join(server.folder, 'aside.raw'), file);
    await becomes(id, 'ready', 2_000);
    expect(await events(id, 'volume.found')).toHaveLength(1);
    expect(await server.operate('POST', `/v1/domains/${domainId}/start`)).toMatchObject({
      state: 'succeeded',
    });
    await server.operate('POST', `/v1/domains/${domainId}/force-off`);
  }, 30_000);

  it('is not taken to be back when a file of another size stands in its place', async () => {
    const [{ id, file }, witness] = [await aVolume('replaced'), await aVolume('witness')];
    rmSync(file);
    await becomes(id, 'missing', 2_000);
    writeFileSync(file, Buffer.alloc(512));
    rmSync(witness.file);
    await becomes(witness.id, 'missing', 2_000);
    expect(await volume(id)).toMatchObject({ state: 'missing', sizeBytes: 1024 * 1024 });
    for (const one of [id, witness.id])
      expect(await server.operate('DELETE', `/v1/volumes/${one}`)).toMatchObject({ state: 'succeeded' });
  }, 30_000);

  it('is none when Domus itself deleted it, and what happens while the host is away is seen when it is back', async () => {
    const [deleted, away] = [await aVolume('deleted'), await aVolume('away')];
    await server.operate('DELETE', `/v1/volumes/${deleted.id}`);
    await host.stop();
    rmSync(away.file);
    await host.restart();
    await becomes(away.id, 'missing', 10_000);
    expect(await events(deleted.id, 'volume.missing')).toEqual([]);
  }, 40_000);

  it('is not missing because its repository is not mounted', async () => {
    const { id } = await aVolume('mounted');
    renameSync(folder, `${folder}-away`);
    mkdirSync(folder);
    await host.stop();
    await host.restart();
    const other = join(server.folder, 'other');
    mkdirSync(other);
    const input = { name: 'other', poolId: server.poolId, path: other, hostId: host.hostId };
    await server.operate('POST', '/v1/storage-repositories', input);
    expect(await volume(id)).toMatchObject({ state: 'ready' });
    rmSync(folder, { recursive: true });
    renameSync(`${folder}-away`, folder);
  }, 40_000);
});
