import { randomUUID } from 'node:crypto';
import { type Body, type TestPool, testPool } from '../../support/test-pool.js';

describe('the terms of a write', () => {
  let pool: TestPool;
  beforeAll(async () => {
    pool = await testPool({ hosts: 2 });
  }, 60_000);
  afterAll(() => pool.close());

  const count = async (sql: string, values: unknown[] = []): Promise<number> => {
    const [row] = await pool.source.query<{ n: number }[]>(`select count(*)::int as n from ${sql}`, values);
    return row?.n ?? 0;
  };

  describe('Idempotency-Key', () => {
    const createVolumeless = (key: string, name = 'web', headers: Record<string, string> = {}) =>
      pool.rest(
        'POST',
        '/v1/domains',
        { name, poolId: pool.poolId, memoryBytes: 64 << 20, boot: { firmware: 'bios' } },
        { 'idempotency-key': key, ...headers },
      );

    it('20 equal requests at once are one operation, and all get its answer', async () => {
      const key = randomUUID();
      const answers = await Promise.all(Array.from({ length: 20 }, () => createVolumeless(key)));
      expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([202]));
      expect(new Set(answers.map(({ body }) => JSON.stringify(body))).size).toBe(1);
      expect(new Set(answers.map(({ headers }) => headers.get('location'))).size).toBe(1);
      expect(answers.filter(({ headers }) => headers.get('idempotency-replayed') === null)).toHaveLength(1);
      expect(await count(`operation where target_id = $1`, [answers[0]?.body.target.id])).toBe(1);
    });

    it('another request with the key is refused', async () => {
      const key = randomUUID();
      expect((await createVolumeless(key)).status).toBe(202);
      const other = await createVolumeless(key, 'another');
      expect([other.status, other.body.code]).toEqual([422, 'idempotency.mismatch']);
    });
  });

  it('Prefer: wait answers with the operation that has ended', async () => {
    const id = await pool.aDomain();
    const answer = await pool.rest('POST', `/v1/domains/${id}/start`, undefined, { prefer: 'wait=20' });
    expect([answer.status, answer.body.state]).toEqual([200, 'succeeded']);
    expect(answer.headers.get('preference-applied')).toBe('wait=20');
  });

  it('a dry run says what would be done', async () => {
    const id = await pool.aDomain();
    const plan = await pool.rest('POST', `/v1/domains/${id}/start?dryRun=true`);
    expect(plan.body).toMatchObject({ allowed: true, kind: 'domain.start', blockers: [] });
    const answer: Body = await pool.graphql(
      `mutation ($id: ID!) { mine: startDomain(id: $id, dryRun: true) { id } }`,
      { id },
    );
    expect(answer).toMatchObject({
      data: { mine: null },
      extensions: { plans: { mine: { allowed: true } } },
    });
  });
});
