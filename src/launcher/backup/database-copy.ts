import pg from 'pg';
import { DataSource } from 'typeorm';
import { migrations } from '../../../migrations/index.js';
import { failed } from '../launcher-error.js';
import { type BackupHeader, type BackupPart, readBackup } from './backup-file.js';

const { escapeIdentifier } = pg;
/** The table in which TypeORM notes what has run: rebuilt by running, never copied. */
const migrationTable = 'migrations';
const rowsAtOnce = 1_000;

/** Everything in one snapshot, while others go on writing. The queue is left out: it carries only what the rows know. */
export async function* exportDatabase(url: string, secretKey: Buffer): AsyncGenerator<BackupPart> {
  const client = await connect(url);
  try {
    await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
    yield {
      kind: 'backup',
      header: {
        format: 'domus-backup',
        version: 1,
        at: new Date().toISOString(),
        migrations: await migrationsOf(client),
        secretKey: secretKey.toString('base64'),
      },
    };
    for (const { name, columns } of await tablesOf(client)) {
      yield { kind: 'table', name, columns };
      await client.query(
        `DECLARE rows NO SCROLL CURSOR FOR SELECT row_to_json(t)::text AS json
           FROM (SELECT ${columns.map(escapeIdentifier).join(', ')} FROM ${escapeIdentifier(name)}) AS t`,
      );
      for (;;) {
        const { rows } = await client.query<{ json: string }>(`FETCH ${rowsAtOnce} FROM rows`);
        for (const { json } of rows) yield { kind: 'row', json };
        if (rows.length < rowsAtOnce) break;
      }
      await client.query('CLOSE rows');
    }
    const sequences = await client.query<{ name: string; value: string }>(
      `SELECT sequencename AS name, last_value::text AS value FROM pg_sequences
        WHERE schemaname = current_schema() AND last_value IS NOT NULL AND sequencename NOT LIKE $1`,
      [`${migrationTable}\\_%`],
    );
    for (const { name, value } of sequences.rows) yield { kind: 'sequence', name, value };
    await client.query('COMMIT');
  } finally {
    await client.end();
  }
}

/**
 * Reads a verified backup into the database, whole or not at all. The tables are built by the migrations that the
 * backup names; the rest run when the server starts. `force` gives up what the database holds now.
 */
export async function importDatabase(
  url: string,
  path: string,
  header: BackupHeader,
  options: { force: boolean },
): Promise<{ rows: number }> {
  const wanted = migrationsUpTo(header.migrations);
  const client = await connect(url);
  try {
    await undoInterrupted(client);
    if ((await holdsRows(client)) && !options.force) {
      throw failed('The database is not empty; --force gives up what it holds.');
    }
    await client.query(`ALTER SCHEMA public RENAME TO ${former}`);
    try {
      await client.query('CREATE SCHEMA public');
      await runMigrations(url, wanted);
      await client.query('BEGIN');
      const restoreConstraints = await liftConstraints(client);
      const rows = await loadRows(client, path);
      await restoreConstraints();
      await client.query(unlearn);
      await client.query('DROP SCHEMA IF EXISTS bullmq CASCADE');
      await client.query(`DROP SCHEMA ${former} CASCADE`);
      await client.query('COMMIT');
      return { rows };
    } catch (error) {
      await client.query('ROLLBACK');
      await undoInterrupted(client);
      throw error;
    }
  } finally {
    await client.end();
  }
}

/**
 * What a copy says of hosts is old: nothing is started on one before it has been heard of again, and what ran there before its
 * last boot is not guessed from the copy. What they know of executors is newer.
 */
const unlearn = `UPDATE host SET boot_id = NULL, state = CASE state WHEN 'online' THEN 'offline' ELSE state END;
  DO $$ BEGIN
    IF to_regclass('executor') IS NOT NULL THEN
      UPDATE executor SET generation = greatest(generation + 1, floor(extract(epoch from now()))::bigint);
    END IF;
  END $$`;

/** Where the old tables wait until the new ones are complete. */
const former = 'domus_before_restore';

/** Puts back what was there before a restore that did not come to its end. */
async function undoInterrupted(client: pg.Client): Promise<void> {
  const { rows } = await client.query<{ there: boolean }>(`SELECT to_regnamespace($1) IS NOT NULL AS there`, [
    former,
  ]);
  if (!rows[0]?.there) return;
  await client.query('BEGIN');
  await client.query('DROP SCHEMA IF EXISTS public CASCADE');
  await client.query(`ALTER SCHEMA ${former} RENAME TO public`);
  await client.query('COMMIT');
}

async function loadRows(client: pg.Client, path: string): Promise<number> {
  let total = 0;
  let table: { name: string; columns: string[] } | undefined;
  let batch: string[] = [];
  const flush = async () => {
    if (table && batch.length > 0) {
      const [name, columns] = [escapeIdentifier(table.name), table.columns.map(escapeIdentifier).join(', ')];
      await client.query(
        `INSERT INTO ${name} (${columns}) OVERRIDING SYSTEM VALUE
         SELECT ${columns} FROM json_populate_recordset(NULL::${name}, $1::json)`,
        [`[${batch.join(',')}]`],
      );
      total += batch.length;
    }
    batch = [];
  };
  for await (const part of readBackup(path)) {
    if (part.kind === 'row') {
      if (batch.push(part.json) >= rowsAtOnce) await flush();
      continue;
    }
    await flush();
    if (part.kind === 'table') {
      table = part;
      // Rows that a migration planted come with the backup.
      await client.query(`DELETE FROM ${escapeIdentifier(part.name)}`);
    }
    if (part.kind === 'sequence') {
      await client.query('SELECT setval($1::regclass, $2::bigint)', [
        escapeIdentifier(part.name),
        part.value,
      ]);
    }
  }
  await flush();
  return total;
}

/** Foreign keys and triggers wait until every row is there; putting the keys back checks them all. */
async function liftConstraints(client: pg.Client): Promise<() => Promise<void>> {
  const keys = await client.query<{ table: string; name: string; definition: string }>(
    `SELECT conrelid::regclass::text AS table, quote_ident(conname) AS name, pg_get_constraintdef(oid) AS definition
       FROM pg_constraint
      WHERE contype = 'f' AND connamespace = current_schema()::regnamespace AND conparentid = 0`,
  );
  const tables = await tablesOf(client);
  for (const { table, name } of keys.rows) await client.query(`ALTER TABLE ${table} DROP CONSTRAINT ${name}`);
  for (const { name } of tables) {
    await client.query(`ALTER TABLE ${escapeIdentifier(name)} DISABLE TRIGGER USER`);
  }
  return async () => {
    for (const { name } of tables) {
      await client.query(`ALTER TABLE ${escapeIdentifier(name)} ENABLE TRIGGER USER`);
    }
    for (const { table, name, definition } of keys.rows) {
      await client.query(`ALTER TABLE ${table} ADD CONSTRAINT ${name} ${definition}`);
    }
  };
}

/** Tables with the columns that can be written. */
async function tablesOf(client: pg.Client): Promise<{ name: string; columns: string[] }[]> {
  const { rows } = await client.query<{ name: string; columns: string[] }>(
    `SELECT c.relname AS name, array_agg(a.attname::text ORDER BY a.attnum) AS columns
       FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
      WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
        AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' AND c.relname <> $1
      GROUP BY c.relname ORDER BY c.relname`,
    [migrationTable],
  );
  return rows;
}

async function holdsRows(client: pg.Client): Promise<boolean> {
  for (const { name } of await tablesOf(client)) {
    const { rowCount } = await client.query(`SELECT 1 FROM ${escapeIdentifier(name)} LIMIT 1`);
    if (rowCount) return true;
  }
  return false;
}

async function migrationsOf(client: pg.Client): Promise<string[]> {
  const { rows } = await client.query<{ there: boolean }>(`SELECT to_regclass($1) IS NOT NULL AS there`, [
    migrationTable,
  ]);
  if (!rows[0]?.there) throw failed('The database holds no inventory of Domus yet.');
  const ran = await client.query<{ name: string }>(
    `SELECT name FROM ${escapeIdentifier(migrationTable)} ORDER BY timestamp, id`,
  );
  return ran.rows.map(({ name }) => name);
}

type Migration = (typeof migrations)[number];

function migrationsUpTo(names: string[]): Migration[] {
  const known = migrations.slice(0, names.length);
  if (names.some((name, at) => known[at]?.name !== name)) {
    throw failed(
      'The backup was made by a Domus that has other migrations than this one: use that version, or a newer one.',
    );
  }
  return known;
}

async function runMigrations(url: string, wanted: Migration[]): Promise<void> {
  const source = new DataSource({
    type: 'postgres',
    url,
    migrations: wanted,
    migrationsTransactionMode: 'each',
    installExtensions: false,
  });
  await source.initialize();
  try {
    await source.runMigrations();
  } finally {
    await source.destroy();
  }
}

async function connect(url: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  return client;
}
