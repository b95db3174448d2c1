import { newId } from '../../src/kernel/schema/values.js';
import { hostModel } from '../../src/modules/host/index.js';
import { poolModel } from '../../src/modules/pool/index.js';
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
});
afterAll(() => server.close());

describe('both faces', () => {
  it('agree on every field of pools and hosts', async () => {
    expect(
      await facesAgree(server, poolModel, { collection: 'pools', connection: 'pools', object: 'pool' }),
    ).toBe(2);
    expect(
      await facesAgree(server, hostModel, { collection: 'hosts', connection: 'hosts', object: 'host' }),
    ).toBe(5);
  });
});
