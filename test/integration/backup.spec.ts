import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import pg from 'pg';
import { createDataSource } from '../../src/data-source.js';
import { type BackupPart, verifyBackup, writeBackup } from '../../src/launcher/backup/backup-file.js';
import { exportDatabase, importDatabase } from '../../src/launcher/backup/database-copy.js';
import { freshDatabase } from '../support/postgres.js';
import { scratchFolder } from '../support/scratch-folder.js';

type Database = Awaited<ReturnType<typeof freshDatabase>>;

const scratch = scratchFolder('backup');
const databases: Database[] = [];
async function aDatabase(options: { migrated: boolean; version?: 18 | 15 }): Promise<string> {
  const database = await freshDatabase({ version: options.version });
  databases.push(database);
  if (options.migrated) {
    const source = await createDataSource(database.url).initialize();
    await source.runMigrations();
    await source.destroy();
  }
  return database.url;
}

afterAll(async () => {
  for (const { drop } of databases) await drop();
  scratch.remove();
}, 30_000);

async function ask(url: string, sql: string): Promise<Record<string, unknown>[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query<Record<string, unknown>>(sql)).rows;
  } finally {
    await client.end();
  }
}

/** Rows that a careless copy would spoil: bytes, digits beyond a double, line breaks, a table that points to itself. */
const poolId = '018f3f3a-0000-7000-8000-000000000001';
const plant = `
  INSERT INTO pool (id, name, agent_networks) VALUES ('${poolId}', E'a "pool"\\nwith lines', ARRAY['127.0.0.0/8', '::1/128']);
  INSERT INTO api_token (id, name, role, secret_hash)
    SELECT ('018f3f3a-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid, 'token ' || n, 'admin', sha256(n::text::bytea)
      FROM generate_series(1, 2500) AS n;`;

async function fingerprint(url: string): Promise<unknown> {
  return ask(
    url,
    `SELECT (SELECT md5(string_agg(t::text, ';' ORDER BY id)) FROM api_token AS t) AS tokens,
            (SELECT md5(string_agg(p::text, ';' ORDER BY id)) FROM pool AS p) AS pools`,
  );
}

describe('backup and restore', () => {
  const file = join(scratch.path, 'a.backup');
  const key = Buffer.from('0123456789abcdef0123456789abcdef');
  let url: string;
  let written: number;
  beforeAll(async () => {
    url = await aDatabase({ migrated: true });
    await ask(url, plant);
    written = (await writeBackup(file, exportDatabase(url, key))).rows;
    expect(written).toBeGreaterThan(2_500);
  }, 60_000);

  it.each([18, 15] as const)(
    'bring every row back as it was, on PostgreSQL %i',
    async (version) => {
      const target = await aDatabase({ migrated: false, version });
      const header = await verifyBackup(file);
      expect(Buffer.from(header.secretKey, 'base64')).toEqual(key);
      expect(await importDatabase(target, file, header, { force: false })).toEqual({ rows: written });
      expect(await fingerprint(target)).toEqual(await fingerprint(url));
      // The tables are the ones that migrations make: constraints and all.
      const source = await createDataSource(target).initialize();
      const { upQueries } = await source.driver.createSchemaBuilder().log();
      await source.destroy();
      expect(upQueries.map(({ query }) => query)).toEqual([]);
      await expect(ask(target, `DELETE FROM migrations RETURNING name`)).resolves.toHaveLength(
        header.migrations.length,
      );
    },
    60_000,
  );

  it('show one moment, although others write meanwhile', async () => {
    const parts = exportDatabase(url, key);
    const kinds = [(await parts.next()).value];
    await ask(url, `DELETE FROM api_token WHERE name = 'token 7'`);
    let rows = 0;
    for await (const part of parts) if (part.kind === 'row') rows++;
    expect(kinds[0]).toMatchObject({ kind: 'backup' });
    expect(rows).toBe(written);
    await ask(
      url,
      `INSERT INTO api_token (id, name, role, secret_hash) VALUES ('018f3f3a-0000-7000-8000-000000000007', 'token 7', 'admin', sha256('7'))`,
    );
  }, 60_000);

  it('never replace what is there unless forced to, and then whole', async () => {
    const target = await aDatabase({ migrated: true });
    await ask(target, `INSERT INTO pool (id, name, agent_networks) VALUES ('${poolId}', 'mine', '{}')`);
    const header = await verifyBackup(file);
    await expect(importDatabase(target, file, header, { force: false })).rejects.toThrow('not empty');
    expect(await ask(target, 'SELECT name FROM pool')).toEqual([{ name: 'mine' }]);
    await importDatabase(target, file, header, { force: true });
    expect(await ask(target, 'SELECT count(*)::int AS n FROM api_token')).toEqual([{ n: 2500 }]);
  }, 60_000);

  it('leave what is there when the rows do not fit', async () => {
    const target = await aDatabase({ migrated: true });
    await ask(target, `INSERT INTO pool (id, name, agent_networks) VALUES ('${poolId}', 'mine', '{}')`);
    const spoilt = join(scratch.path, 'spoilt.backup');
    const parts = exportDatabase(url, key);
    await writeBackup(
      spoilt,
      (async function* () {
        for await (const part of parts) {
          yield part;
          if (part.kind === 'row') yield part;
        }
      })(),
    );
    const header = await verifyBackup(spoilt);
    await expect(importDatabase(target, spoilt, header, { force: true })).rejects.toThrow(/duplicate key/);
    expect(await ask(target, 'SELECT name FROM pool')).toEqual([{ name: 'mine' }]);
  }, 60_000);

  it('refuse a file that was cut off, changed, or is something else', async () => {
    const text = gunzipSync(readFileSync(file)).toString();
    const broken = join(scratch.path, 'broken.backup');
    const expectRefusal = async (content: Buffer, words: RegExp) => {
      writeFileSync(broken, content);
      await expect(verifyBackup(broken)).rejects.toThrow(words);
    };
    await expectRefusal(readFileSync(file).subarray(0, -200), /damaged/);
    await expectRefusal(gzipSync(text.split('\n').slice(0, -2).join('\n')), /cut off/);
    await expectRefusal(gzipSync(text.replace('token 9"', 'token 8"')), /checksum/);
    await expectRefusal(gzipSync(`${text}["row",{}]\n`), /after its end/);
    await expectRefusal(Buffer.from('hello'), /damaged, or no backup/);
    await expect(verifyBackup(join(scratch.path, 'none'))).rejects.toThrow(/cannot be read/);
  }, 60_000);

  it('are readable by their owner alone, and never half there', async () => {
    expect(statSync(file).mode & 0o777).toBe(0o600);
    const torn = join(scratch.path, 'torn.backup');
    const aTable: BackupPart = { kind: 'table', name: 'pool', columns: [] };
    const failing = (async function* () {
      yield aTable;
      throw new Error('the database went away');
    })();
    await expect(writeBackup(torn, failing)).rejects.toThrow('went away');
    expect(() => statSync(torn)).toThrow('ENOENT');
  });

  it('refuse rows of migrations that this version does not have', async () => {
    const header = await verifyBackup(file);
    const newer = { ...header, migrations: [...header.migrations, 'FromTheFuture1'] };
    const target = await aDatabase({ migrated: false });
    await expect(importDatabase(target, file, newer, { force: false })).rejects.toThrow('other migrations');
  }, 60_000);
});
