import { Redis } from 'ioredis';
import pg from 'pg';
import { freshDatabase, startPostgres } from '../support/postgres.js';
import { startRedis } from '../support/redis.js';

describe('services that the suites lend', () => {
  it.each([18, 15] as const)(
    'a PostgreSQL %i comes back under the same URL with what was committed',
    async (version) => {
      const postgres = await startPostgres({ version });
      try {
        const ask = async (sql: string) => {
          const client = new pg.Client({ connectionString: postgres.url });
          await client.connect();
          try {
            return (await client.query<{ answer: string }>(sql)).rows[0]?.answer;
          } finally {
            await client.end();
          }
        };
        await ask(`CREATE TABLE kept AS SELECT 'yes' AS answer`);
        await postgres.kill();
        await postgres.restart();
        expect(await ask('SELECT answer FROM kept')).toBe('yes');
        expect(await ask(`SELECT current_setting('server_version') AS answer`)).toMatch(
          new RegExp(`^${version}\\.`),
        );
      } finally {
        await postgres.stop();
      }
    },
    120_000,
  );

  it('files of one run share one PostgreSQL of each version', async () => {
    const databases = await Promise.all([freshDatabase({ version: 15 }), freshDatabase({ version: 15 })]);
    const [one, two] = databases.map(({ url }) => new URL(url.replace('@/', '@x/')));
    expect(one?.searchParams.get('host')).toBe(two?.searchParams.get('host'));
    expect(one?.pathname).not.toBe(two?.pathname);
    await Promise.all(databases.map(({ drop }) => drop()));
  }, 120_000);

  it('a Redis comes back under the same URL, empty', async () => {
    const redis = await startRedis();
    const ask = async (use: (client: Redis) => Promise<unknown>) => {
      const client = new Redis(redis.url);
      try {
        return await use(client);
      } finally {
        client.disconnect();
      }
    };
    await ask((client) => client.set('k', 'v'));
    await redis.restart();
    expect(await ask((client) => client.get('k'))).toBeNull();
    await redis.stop();
  }, 120_000);
});
