import { internalError } from '../../src/kernel/errors/problems.js';
import { newId } from '../../src/kernel/schema/values.js';
import { consoleModel } from '../../src/modules/console/index.js';
import { hostModel } from '../../src/modules/host/index.js';
import { networkModel } from '../../src/modules/network/index.js';
import { operationModel } from '../../src/modules/operation/index.js';
import { poolModel } from '../../src/modules/pool/index.js';
import { storageRepositoryModel, volumeModel } from '../../src/modules/storage/index.js';
import { facesAgree } from '../support/faces-agree.js';
import { startTestServer, type TestServer } from '../support/test-server.js';

let server: TestServer;
const poolId = newId();

beforeAll(async () => {
  server = await startTestServer();
  await server.rest('POST', '/v1/pools', { id: poolId, name: 'p1' });
  await server.rest('POST', '/v1/pools', { name: 'p2', agentNetworks: ['10.0.0.0/8'] });
  await server.source.query(
    `insert into host (id, pool_id, name, address, key_hash, hypervisor_kind, hypervisor_version, accelerator, memory_bytes, observed_at, capabilities)
     select gen_random_uuid(), $1, 'h' || i, '127.0.0.1:' || i, '\\x00', case when i > 2 then 'qemu' end, '8.2', case when i > 3 then 'kvm' end,
       9007199254740991 - i, case when i > 2 then now() end, '[{"name":"domain.pause","support":"supported"}]' from generate_series(1, 5) i`,
    [poolId],
  );
  await server.source.query(
    `with made as (
       insert into operation (id, kind, target_type, target_id, actor, input, state, progress, trace_id, error, started_at, ended_at)
       select gen_random_uuid(), 'volume.create', 'volume', gen_random_uuid(), 'token:test', '{}', state, progress, 't', error, now(), ended
         from (values ('running', 40, null::jsonb, null::timestamptz), ('failed', null, $1::jsonb, now())) as v(state, progress, error, ended)
       returning id)
     insert into operation_step (operation_id, position, name, state, attempt) select id, n, 'step-' || n, s, 1
       from made, (values (0, 'done'), (1, 'intent')) as v(n, s)`,
    [JSON.stringify(internalError('It broke.').toProblem('trace'))],
  );
  await server.source.query(
    `with repository as (
       insert into storage_repository (id, pool_id, name, kind, state, settings)
       select gen_random_uuid(), $1, 'r' || i, 'directory', 'ready', jsonb_build_object('path', '/srv/r' || i, 'shared', i = 1)
         from generate_series(1, 2) i returning id, name),
     attached as (
       insert into attachment (id, repository_id, host_id, path, state, capacity_bytes, free_bytes, observed_at)
       select gen_random_uuid(), r.id, h.id, '/srv/' || r.name, case h.name when 'h1' then 'detached' else 'attached' end,
              case when h.name > 'h1' then 1000 end, case when h.name > 'h1' then 10 end, case when h.name > 'h1' then now() end
         from repository r join host h on r.name = 'r1' and h.name <= 'h3' returning id),
     volume as (
       insert into volume (id, repository_id, name, format, size_bytes, allocated_bytes, state)
       select gen_random_uuid(), r.id, 'v' || i, case i when 1 then 'raw' else 'qcow2' end, 9007199254740991, case i when 1 then 4096 end, 'ready'
         from repository r, generate_series(1, 2) i returning id, name),
     domain as (
       insert into domain (id, pool_id, name, vcpus, memory_bytes, boot)
       select gen_random_uuid(), $1, 'd' || i, 1, 16777216, '{"firmware":"bios"}' from generate_series(1, 2) i returning id),
     console as (insert into console (id, domain_id, kind) select gen_random_uuid(), id, 'serial' from domain)
     insert into disk (id, domain_id, volume_id, position)
     select gen_random_uuid(), d.id, v.id, row_number() over (partition by d.id) from domain d, volume v where v.name = 'v1'`,
    [poolId],
  );
  await server.source.query(
    `insert into network (id, pool_id, name, kind, is_default)
     select gen_random_uuid(), $1, 'n' || i, 'user', i = 2 from generate_series(1, 3) i`,
    [poolId],
  );
}, 60_000);
afterAll(() => server.close());

describe('both faces', () => {
  it('agree on every field of operations, and find them by what they are about', async () => {
    const names = { collection: 'operations', connection: 'operations', object: 'operation' };
    expect(await facesAgree(server, operationModel, names)).toBe(2);
    const all = await server.rest('GET', '/v1/operations?filter=state%20%3D%20%22running%22');
    const [running] = (all.body as { items: { target: { id: string }; steps: unknown[] }[] }).items;
    expect(running?.steps).toMatchObject([
      { name: 'step-0', state: 'done' },
      { name: 'step-1', state: 'running' },
    ]);
    const filter = encodeURIComponent(`target.id = "${running?.target.id ?? ''}" and target.type = "volume"`);
    const found = await server.rest('GET', `/v1/operations?filter=${filter}`);
    expect((found.body as { items: unknown[] }).items).toEqual([running]);
  });

  it('agree on every field of networks, storage repositories, volumes and consoles', async () => {
    const plain = (name: string) => ({ collection: name, connection: name, object: name.slice(0, -1) });
    expect(await facesAgree(server, networkModel, plain('networks'))).toBe(3);
    expect(await facesAgree(server, volumeModel, plain('volumes'))).toBe(4);
    expect(await facesAgree(server, consoleModel, plain('consoles'))).toBe(2);
    const names = {
      collection: 'storage-repositories',
      connection: 'storageRepositories',
      object: 'storageRepository',
    };
    expect(await facesAgree(server, storageRepositoryModel, names)).toBe(2);
  });

  it('agree on every field of pools and hosts', async () => {
    expect(
      await facesAgree(server, poolModel, { collection: 'pools', connection: 'pools', object: 'pool' }),
    ).toBe(2);
    expect(
      await facesAgree(server, hostModel, { collection: 'hosts', connection: 'hosts', object: 'host' }),
    ).toBe(5);
  });
});
