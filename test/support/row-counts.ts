import pg from 'pg';

/** How many rows each table of the inventory has: what a refusal must not change. */
export async function rowCounts(url: string): Promise<Record<string, number>> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    const { rows: tables } = await client.query<{ name: string }>(
      `select table_name as name from information_schema.tables where table_schema = 'public' order by 1`,
    );
    const counts = tables.map(({ name }) => `'${name}', (select count(*) from "${name}")`).join(', ');
    const { rows } = await client.query<{ all: Record<string, number> }>(
      `select json_build_object(${counts}) as all`,
    );
    return rows[0]?.all ?? {};
  } finally {
    await client.end();
  }
}
