import { mkdir, readdir, readFile, rename, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createFakeBackends } from '../../src/storage-backend/backends.js';
import { newId } from '../../src/kernel/schema/values.js';
import { startWholeServer, type WholeHost, type WholeServer } from '../support/whole-server.js';

let server: WholeServer;
let host: WholeHost;
const MEBIBYTE = 1024 * 1024;

beforeAll(async () => {
  server = await startWholeServer();
  host = await server.addHost();
}, 60_000);
afterAll(() => server.close());

const folderNamed = async (name: string): Promise<string> => {
  const path = join(server.folder, name);
  await mkdir(join(path, 'boot'), { recursive: true });
  await writeFile(join(path, 'boot/vmlinuz'), 'kernel');
  return path;
};
const makeRepository = async (name: string, more: object = {}): Promise<string> => {
  const path = await folderNamed(name);
  const { state, target } = await server.operate('POST', '/v1/storage-repositories', {
    name,
    poolId: server.poolId,
    path,
    ...more,
  });
  expect(state).toBe('succeeded');
  return target.id;
};
const makeVolume = async (repositoryId: string, more: object = {}): Promise<string> => {
  const input = { name: 'disk', repositoryId, sizeBytes: MEBIBYTE, ...more };
  const { state, target } = await server.operate('POST', '/v1/volumes', input);
  expect(state).toBe('succeeded');
  return target.id;
};
const read = async (path: string) => (await server.rest('GET', path)).body;
const useAsDisk = async (volumeId: string): Promise<string> => {
  const input = { name: 'user', poolId: server.poolId, memoryBytes: 64 * MEBIBYTE, disks: [{ volumeId }] };
  const { target } = await server.operate('POST', '/v1/domains', { ...input, boot: { firmware: 'bios' } });
  return target.id;
};
const events = (objectId: string) =>
  server.rows<{ type: string; changes: object }>(
    `select type, changes from event where object_id = $1 order by ticket`,
    [objectId],
  );

describe('a storage repository', () => {
  it('takes a folder with what is in it, marks it, and says its room', async () => {
    const id = await makeRepository('adopted');
    const path = join(server.folder, 'adopted');
    expect(await read(`/v1/storage-repositories/${id}`)).toMatchObject({
      id,
      name: 'adopted',
      kind: 'directory',
      state: 'ready',
      path,
      shared: false,
      attachments: [{ hostId: host.hostId, path, state: 'attached' }],
      revision: 1,
    });
    const { capacityBytes, freeBytes } = await read(`/v1/storage-repositories/${id}`);
    expect(Number(capacityBytes)).toBeGreaterThan(Number(freeBytes));
    expect((await readFile(join(path, '.domus-repository'), 'utf8')).trim()).toBe(id);
    expect((await events(id)).map(({ type }) => type)).toEqual([
      'storage_repository.created',
      'storage_repository.updated',
    ]);
  });

  it('gives its folder back, as it was found, when it is deleted', async () => {
    const id = await makeRepository('given-back');
    await server.operate('DELETE', `/v1/volumes/${await makeVolume(id)}`);
    const { state, steps } = await server.operate('DELETE', `/v1/storage-repositories/${id}`);
    expect([state, steps.map(({ name }) => name)]).toEqual(['succeeded', ['detach', 'remove-rows']]);
    expect(await readdir(join(server.folder, 'given-back'))).toEqual(['boot']);
    expect((await server.rest('GET', `/v1/storage-repositories/${id}`)).body['code']).toBe(
      'storage_repository.not_found',
    );
    await makeRepository('given-back');
  });

  it('whose folder is not there fails and is gone again', async () => {
    const id = newId();
    const { state, error } = await server.operate('POST', '/v1/storage-repositories', {
      id,
      name: 'nowhere',
      poolId: server.poolId,
      path: join(server.folder, 'nowhere'),
    });
    expect([state, error?.code]).toEqual(['failed', 'storage_repository.unavailable']);
    expect((await server.rest('GET', `/v1/storage-repositories/${id}`)).status).toBe(404);
    expect((await events(id)).map(({ type }) => type)).toEqual([
      'storage_repository.created',
      'storage_repository.deleted',
    ]);
  });

  it('makes its folder when it is asked to', async () => {
    const { state } = await server.operate('POST', '/v1/storage-repositories', {
      name: 'made',
      poolId: server.poolId,
      path: `${server.folder}//made/deep/`,
      create: true,
      hostId: host.hostId,
    });
    expect(state).toBe('succeeded');
    expect(await readdir(join(server.folder, 'made/deep'))).toEqual(['.domus-repository']);
  });

  it('is not made twice of one folder, one id or one name', async () => {
    const id = await makeRepository('once');
    const path = join(server.folder, 'once');
    const other = await folderNamed('other');
    const ask = async (input: object) => {
      const all = { name: newId(), poolId: server.poolId, path: other, ...input };
      const { status, body } = await server.rest('POST', '/v1/storage-repositories', all);
      return [status, body['code']];
    };
    expect(await ask({ path })).toEqual([409, 'storage_repository.exists']);
    expect(await ask({ path: `${path}/` })).toEqual([409, 'storage_repository.exists']);
    expect(await ask({ id })).toEqual([409, 'storage_repository.exists']);
    expect(await ask({ name: 'once' })).toEqual([409, 'storage_repository.name_taken']);
    expect(await readdir(other)).toEqual(['boot']);
  });

  it('with volumes is not deleted; the answer names them', async () => {
    const id = await makeRepository('full-of-volumes');
    const volumeId = await makeVolume(id);
    const { status, body } = await server.rest('DELETE', `/v1/storage-repositories/${id}`);
    expect([status, body['code']]).toEqual([409, 'storage_repository.not_empty']);
    expect(body['blockers']).toMatchObject([{ object: { type: 'volume', id: volumeId } }]);
    expect(await read(`/v1/storage-repositories/${id}`)).toMatchObject({ state: 'ready' });
  });

  it('with a kernel that a domain boots is not deleted; the answer names the domain', async () => {
    const id = await makeRepository('kernels');
    const boot = { kernel: { repositoryId: id, path: 'boot/vmlinuz' } };
    const input = { name: 'booted', poolId: server.poolId, memoryBytes: 64 * MEBIBYTE, boot };
    const { target } = await server.operate('POST', '/v1/domains', input);
    const { status, body } = await server.rest('DELETE', `/v1/storage-repositories/${id}`);
    expect([status, body['code']]).toEqual([409, 'storage_repository.not_empty']);
    expect(body['blockers']).toMatchObject([{ object: { type: 'domain', id: target.id } }]);
  });

  it('whose disk is gone refuses work instead of writing to the mount point', async () => {
    const id = await makeRepository('unmounted');
    const path = join(server.folder, 'unmounted');
    await rename(path, `${path}.aside`);
    await mkdir(path);
    const { status, body } = await server.rest('POST', '/v1/volumes', {
      name: 'disk',
      repositoryId: id,
      sizeBytes: MEBIBYTE,
    });
    expect([status, body['code']]).toEqual([409, 'storage_repository.unavailable']);
    expect(await readdir(path)).toEqual([]);
  });
});

describe.each(['raw', 'qcow2'])('a %s volume', (format) => {
  it('is made with whole sectors, renamed, and deleted with its bytes', async () => {
    const repositoryId = await makeRepository(`for-${format}`);
    const id = await makeVolume(repositoryId, { format, sizeBytes: 1_000_001 });
    const file = join(server.folder, `for-${format}`, 'volumes', `${id}.${format}`);
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    const volume = await read(`/v1/volumes/${id}`);
    expect(volume).toMatchObject({
      format,
      sizeBytes: 1_000_448,
      state: 'ready',
      domainIds: [],
      poolId: server.poolId,
    });
    expect(volume['allocatedBytes']).toEqual(expect.any(Number));

    const renamed = await server.rest('PATCH', `/v1/volumes/${id}`, { name: 'data' }, { 'if-match': '"1"' });
    expect([renamed.status, renamed.body['name'], renamed.headers.get('etag')]).toEqual([200, 'data', '"2"']);

    expect(await server.operate('DELETE', `/v1/volumes/${id}`)).toMatchObject({
      kind: 'volume.delete',
      state: 'succeeded',
      target: { type: 'volume', id },
    });
    await expect(stat(file)).rejects.toMatchObject({ code: 'ENOENT' });
    expect((await server.rest('GET', `/v1/volumes/${id}`)).body['code']).toBe('volume.not_found');
    expect(await server.rows(`select 1 from hold`)).toEqual([]);
    expect((await events(id)).map(({ type }) => type)).toEqual([
      'volume.created',
      'volume.updated',
      'volume.updated',
      'volume.updated',
      'volume.deleted',
    ]);
  });
});

describe('a volume', () => {
  let repositoryId: string;
  beforeAll(async () => {
    repositoryId = await makeRepository('volumes');
  });

  it('that is a disk of a domain is not deleted, through either face; nothing changes', async () => {
    const id = await makeVolume(repositoryId);
    const domainId = await useAsDisk(id);
    const rest = await server.rest('DELETE', `/v1/volumes/${id}`);
    const graphql = await server.graphql(`mutation ($id: ID!) { deleteVolume(id: $id) { id } }`, { id });
    for (const problem of [rest.body, graphql.errors[0]?.extensions]) {
      expect(problem).toMatchObject({
        status: 409,
        code: 'volume.in_use',
        blockers: [{ object: { type: 'domain', id: domainId } }],
      });
    }
    expect(await read(`/v1/volumes/${id}`)).toMatchObject({ state: 'ready', domainIds: [domainId] });
    await stat(join(server.folder, 'volumes', 'volumes', `${id}.raw`));
  });

  it('that a host holds is not deleted', async () => {
    const id = await makeVolume(repositoryId);
    await server.rows(`insert into hold (volume_id, host_id, mode, generation) values ($1, $2, 'ro', 1)`, [
      id,
      host.hostId,
    ]);
    const { status, body } = await server.rest('DELETE', `/v1/volumes/${id}`);
    expect([status, body['code']]).toEqual([409, 'volume.in_use']);
    await server.rows(`delete from hold where volume_id = $1`, [id]);
  });

  it('that does not fit is refused before anything changed', async () => {
    const { status, body } = await server.rest('POST', '/v1/volumes', {
      name: 'huge',
      repositoryId,
      sizeBytes: 2 ** 50,
    });
    expect([status, body['code']]).toEqual([409, 'storage_repository.full']);
    expect(await server.rows(`select 1 from volume where name = 'huge'`)).toEqual([]);
  });

  it('goes to one domain, though many ask for it at once', async () => {
    const [first, second] = [await makeVolume(repositoryId), await makeVolume(repositoryId)];
    const answers = await Promise.all(
      Array.from({ length: 12 }, async (_, index) => {
        // Two disks, in either order: nobody waits for the other for ever.
        const disks = (index % 2 ? [first, second] : [second, first]).map((volumeId) => ({ volumeId }));
        const input = { name: 'one', poolId: server.poolId, memoryBytes: 64 * MEBIBYTE, disks };
        const { status, body } = await server.rest('POST', '/v1/domains', {
          ...input,
          boot: { firmware: 'bios' },
        });
        return status === 202 ? 'accepted' : body['code'];
      }),
    );
    expect(answers.sort()).toEqual(['accepted', ...Array.from({ length: 11 }, () => 'volume.in_use')]);
    expect((await read(`/v1/volumes/${first}`))['domainIds']).toHaveLength(1);
  });

  it('is refused with an id that is taken, or in a repository that is not there', async () => {
    const id = await makeVolume(repositoryId);
    const ask = async (input: object) => {
      const all = { name: 'disk', repositoryId, sizeBytes: MEBIBYTE, ...input };
      const { status, body } = await server.rest('POST', '/v1/volumes', all);
      return [status, body['code']];
    };
    expect(await ask({ id })).toEqual([409, 'volume.exists']);
    expect(await ask({ repositoryId: newId() })).toEqual([404, 'storage_repository.not_found']);
    expect(await ask({ sizeBytes: 0 })).toEqual([422, 'request.invalid']);
    expect(await ask({ format: 'vmdk' })).toEqual([422, 'request.invalid']);
    expect(await ask({ path: '/etc' })).toEqual([422, 'request.invalid']);
  });

  it('whose bytes stand in the way of a new one fails the operation, and they stay', async () => {
    const id = newId();
    const file = join(server.folder, 'volumes', 'volumes', `${id}.raw`);
    await writeFile(file, "somebody's");
    const { state, error } = await server.operate('POST', '/v1/volumes', {
      id,
      name: 'disk',
      repositoryId,
      sizeBytes: MEBIBYTE,
    });
    expect([state, error?.code]).toEqual(['failed', 'volume.exists']);
    expect(await readFile(file, 'utf8')).toBe("somebody's");
    expect((await server.rest('GET', `/v1/volumes/${id}`)).status).toBe(404);
    expect(await server.rows(`select 1 from hold where volume_id = $1`, [id])).toEqual([]);
  });

  it('is changed by those alone who have read it', async () => {
    const id = await makeVolume(repositoryId);
    const patch = async (headers?: Record<string, string>) => {
      const { status, body } = await server.rest('PATCH', `/v1/volumes/${id}`, { name: 'x' }, headers);
      return [status, body['code']];
    };
    expect(await patch()).toEqual([428, 'revision.required']);
    expect(await patch({ 'if-match': '"7"' })).toEqual([412, 'revision.stale']);
    const stale = await server.rest('DELETE', `/v1/volumes/${id}`, undefined, { 'if-match': '"7"' });
    expect([stale.status, stale.body['code']]).toEqual([412, 'revision.stale']);
    expect(await patch({ 'if-match': '"1"' })).toEqual([200, undefined]);
  });

  it('is made by GraphQL as by REST', async () => {
    const made = await server.graphql(
      `mutation ($input: CreateVolumeInput!) { createVolume(input: $input) { id kind target { id type } } }`,
      { input: { name: 'by-graphql', repositoryId, sizeBytes: 5_000_000_001 } },
    );
    expect(made.errors).toEqual([]);
    const operation = made.data?.['createVolume'];
    expect(operation?.['kind']).toBe('volume.create');
    const { state, target } = await server.ended(operation?.['id']);
    expect(state).toBe('succeeded');
    const found = await server.graphql(
      `query ($id: ID!) { volume(id: $id) { name sizeBytes format repository { name attachments { state } pool { id } } } }`,
      { id: target.id },
    );
    expect(found.data?.['volume']).toEqual({
      name: 'by-graphql',
      sizeBytes: 5_000_000_512,
      format: 'raw',
      repository: { name: 'volumes', attachments: [{ state: 'attached' }], pool: { id: server.poolId } },
    });
  });
});

describe('a delete that meets a domain which is just being made', () => {
  const both = async (path: string, more: object): Promise<number[]> => {
    const input = {
      name: 'racer',
      poolId: server.poolId,
      memoryBytes: 64 * MEBIBYTE,
      boot: { firmware: 'bios' },
    };
    const replies = await Promise.all([
      server.rest('DELETE', path),
      server.rest('POST', '/v1/domains', { ...input, ...more }),
    ]);
    for (const { status, body } of replies) if (status === 202) await server.ended(body['id']);
    return replies.map(({ status }) => status);
  };
  /** Either may win, and never both. */
  const oneOf = [
    [202, 404],
    [202, 422],
    [409, 202],
    [202, 409],
  ];

  it('leaves no domain with a disk that is gone', async () => {
    const repositoryId = await makeRepository('racing-volumes');
    for (let round = 0; round < 5; round += 1) {
      const volumeId = await makeVolume(repositoryId);
      expect(oneOf).toContainEqual(await both(`/v1/volumes/${volumeId}`, { disks: [{ volumeId }] }));
    }
  });

  it('leaves no domain that boots from a repository which is gone', async () => {
    for (let round = 0; round < 5; round += 1) {
      const repositoryId = await makeRepository(`racing-${round}`);
      const boot = { kernel: { repositoryId, path: 'boot/vmlinuz' } };
      expect(oneOf).toContainEqual(await both(`/v1/storage-repositories/${repositoryId}`, { boot }));
    }
    const orphans = await server.rows(
      `select 1 from domain d where boot #>> '{kernel,repositoryId}' is not null and not exists
         (select from storage_repository r where r.id::text = d.boot #>> '{kernel,repositoryId}')`,
    );
    expect(orphans).toEqual([]);
  });
});

describe('a host that is away', () => {
  it('makes nothing: no volume, and no repository', async () => {
    const away = await startWholeServer();
    try {
      const repository = { name: 'r', poolId: away.poolId, path: join(away.folder, 'r'), create: true };
      const none = await away.rest('POST', '/v1/storage-repositories', repository);
      expect([none.status, none.body['code']]).toEqual([503, 'host.unreachable']);
      const only = await away.addHost();
      const { target } = await away.operate('POST', '/v1/storage-repositories', repository);
      await only.stop();
      const { status, body } = await away.rest('POST', '/v1/volumes', {
        name: 'disk',
        repositoryId: target.id,
        sizeBytes: MEBIBYTE,
      });
      expect([status, body['code']]).toEqual([503, 'host.unreachable']);
      expect(await away.rows(`select 1 from volume`)).toEqual([]);
    } finally {
      await away.close();
    }
  }, 60_000);
});

describe('a pool with two hosts', () => {
  let pair: WholeServer;
  beforeAll(async () => {
    pair = await startWholeServer();
    await pair.addHost();
    await pair.addHost();
  }, 60_000);
  afterAll(() => pair.close());

  it('must be told whose folder it is', async () => {
    const { status, body } = await pair.rest('POST', '/v1/storage-repositories', {
      name: 'whose',
      poolId: pair.poolId,
      path: join(pair.folder, 'whose'),
      create: true,
    });
    expect([status, body['code'], body['errors']]).toMatchObject([
      422,
      'request.invalid',
      [{ path: 'hostId' }],
    ]);
  });

  it('needs not be told when its hosts are simulated: they have one storage between them', async () => {
    const simulated = await startWholeServer();
    try {
      const backends = createFakeBackends();
      for (const name of ['one', 'two']) await simulated.addHost({ name, backends, simulated: true });
      const { state, target } = await simulated.operate('POST', '/v1/storage-repositories', {
        name: 'played',
        poolId: simulated.poolId,
        path: '/srv/images',
      });
      expect(state).toBe('succeeded');
      const { body } = await simulated.rest('GET', `/v1/storage-repositories/${target.id}`);
      expect(body).toMatchObject({
        shared: true,
        attachments: [{ state: 'attached' }, { state: 'attached' }],
      });
    } finally {
      await simulated.close();
    }
  }, 60_000);

  it('sees a shared folder from both', async () => {
    const { state, target } = await pair.operate('POST', '/v1/storage-repositories', {
      name: 'shared',
      poolId: pair.poolId,
      path: join(pair.folder, 'shared'),
      create: true,
      shared: true,
    });
    expect(state).toBe('succeeded');
    const { body } = await pair.rest('GET', `/v1/storage-repositories/${target.id}`);
    expect(body).toMatchObject({
      shared: true,
      attachments: [{ state: 'attached' }, { state: 'attached' }],
    });
  });
});
