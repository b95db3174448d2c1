import { GIBIBYTE, type TestPool, testPool } from '../../support/test-pool.js';

let pool: TestPool;
beforeAll(async () => {
  pool = await testPool({ hosts: 2, memoryBytes: 8 * GIBIBYTE });
}, 60_000);
afterAll(() => pool?.close());

describe('placement', () => {
  it('never overbooks a host when many start at once, and names what each host has left', async () => {
    const ids = await Promise.all(
      Array.from({ length: 24 }, (_, n) => pool.aDomain({ name: `d${n}`, memoryBytes: GIBIBYTE })),
    );
    const answers = await Promise.all(ids.map((id) => pool.rest('POST', `/v1/domains/${id}/start`)));
    const refused = answers.filter((answer) => answer.status !== 202);
    expect(answers.filter((answer) => answer.status === 202)).toHaveLength(16);
    expect(new Set(refused.map((answer) => answer.body.code))).toEqual(new Set(['host.memory_insufficient']));
    expect(refused[0]?.body.blockers).toHaveLength(2);

    const rows = await pool.source.query(
      `select host_id, sum(memory_bytes)::float8 as used from claim group by host_id`,
    );
    expect(rows.map((row: { used: number }) => row.used)).toEqual([8 * GIBIBYTE, 8 * GIBIBYTE]);
    await Promise.all(answers.filter((each) => each.status === 202).map((each) => pool.ended(each.body.id)));
    const started = pool.hosts.flatMap(({ hypervisor }) => hypervisor.ids());
    expect(new Set(started).size).toBe(16);
    expect(started).toHaveLength(16);

    const running = (await pool.rest('GET', `/v1/domains?filter=${encodeURIComponent('state = "running"')}`))
      .body.items;
    await Promise.all(
      running.map(({ id }: { id: string }) => pool.operate('POST', `/v1/domains/${id}/force-off`)),
    );
    expect(await pool.source.query('select * from claim')).toEqual([]);
  }, 60_000);

  it('puts the next domain on the least loaded host', async () => {
    const big = await pool.aDomain({ memoryBytes: 4 * GIBIBYTE });
    const small = await pool.aDomain();
    await pool.operate('POST', `/v1/domains/${big}/start`);
    await pool.operate('POST', `/v1/domains/${small}/start`);
    expect((await pool.domain(small)).hostId).not.toBe((await pool.domain(big)).hostId);
    for (const id of [big, small]) await pool.operate('POST', `/v1/domains/${id}/force-off`);
  });

  it('passes over a host at which another start is about to claim, instead of waiting for it', async () => {
    const id = await pool.aDomain();
    const other = pool.source.createQueryRunner();
    await other.startTransaction();
    try {
      const [least] = await other.query('select id from host order by name limit 1 for no key update');
      await pool.operate('POST', `/v1/domains/${id}/start`);
      expect((await pool.domain(id)).hostId).not.toBe(least.id);
    } finally {
      await other.rollbackTransaction();
      await other.release();
    }
    await pool.operate('POST', `/v1/domains/${id}/force-off`);
  });

  it('takes any whole number of bytes for memory, and claims the mebibytes that are enough', async () => {
    const id = await pool.aDomain({ memoryBytes: GIBIBYTE + 1 });
    expect(await pool.domain(id)).toMatchObject({ memoryBytes: GIBIBYTE + 1 });
    await pool.operate('POST', `/v1/domains/${id}/start`);
    const [claim] = await pool.source.query(
      'select memory_bytes::float8 as bytes from claim where domain_id = $1',
      [id],
    );
    expect(claim).toEqual({ bytes: GIBIBYTE + 1024 ** 2 });
    await pool.operate('POST', `/v1/domains/${id}/force-off`);
    for (const memoryBytes of [Number.MAX_SAFE_INTEGER, 10 ** 15]) {
      const huge = await pool.aDomain({ memoryBytes });
      expect(await pool.domain(huge)).toMatchObject({ memoryBytes });
      const { status, body } = await pool.rest('POST', `/v1/domains/${huge}/start`);
      expect([status, body.code]).toEqual([409, 'host.memory_insufficient']);
    }
  });

  it('refuses with 503 when no host is there to ask, and promises nothing', async () => {
    const id = await pool.aDomain();
    for (const host of pool.hosts) await host.stopAgent();
    for (const host of pool.hosts) {
      await pool.source.query(`update host set state = 'offline' where id = $1`, [host.id]);
    }
    const answer = await pool.rest('POST', `/v1/domains/${id}/start`);
    expect([answer.status, answer.body.code]).toEqual([503, 'host.unreachable']);
    expect(await pool.source.query('select * from claim')).toEqual([]);
    for (const host of pool.hosts) await host.startAgent();
  });
});
