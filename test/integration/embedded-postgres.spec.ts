import pg from 'pg';
import { freshDatabase, startPostgres, type TestPostgres } from '../support/postgres.js';

async function ask<T>(url: string, sql: string): Promise<T[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query<{ answer: T }>(sql)).rows.map((row) => row.answer);
  } finally {
    await client.end();
  }
}

describe('embedded PostgreSQL', () => {
  let postgres: TestPostgres;
  beforeAll(async () => {
    postgres = await startPostgres();
  }, 30_000);
  afterAll(() => postgres.stop());

  it('keeps what was committed when its postmaster is killed', async () => {
    await ask(postgres.url, 'CREATE TABLE kept AS SELECT 42 AS answer');
    await postgres.kill();
    await postgres.restart();
    expect(await ask(postgres.url, 'SELECT answer FROM kept')).toEqual([42]);
  }, 30_000);

  it('listens on no network address', async () => {
    expect(await ask(postgres.url, `SELECT current_setting('listen_addresses') AS answer`)).toEqual(['']);
  });

  it('gives every caller of freshDatabase an empty database of its own', async () => {
    const [one, two] = await Promise.all([freshDatabase(), freshDatabase()]);
    const names = await Promise.all(
      [one, two].map(({ url }) => ask<string>(url, 'SELECT current_database() AS answer')),
    );
    expect(new Set(names.flat()).size).toBe(2);
    await Promise.all([one.drop(), two.drop()]);
  }, 30_000);
});
