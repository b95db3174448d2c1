import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createDataSource } from '../src/data-source.js';

/**
 * `generate.js <what-changed>` writes the migration that is missing; `generate.js --check` exits 1 if one is missing.
 * Works on an empty scratch database: it runs every migration there first, so that each run also tests the way up.
 */
const [what] = process.argv.slice(2);
const url = process.env['DATABASE_URL'];
if (!what || !url) {
  console.error('usage: DATABASE_URL=postgres://… generate.js <what-changed> | --check');
  process.exit(2);
}

const source = await createDataSource(url).initialize();
try {
  await source.runMigrations();
  const { upQueries, downQueries } = await source.driver.createSchemaBuilder().log();
  if (what === '--check') {
    for (const { query } of upQueries) console.error(`missing: ${query}`);
    process.exitCode = upQueries.length === 0 ? 0 : 1;
  } else if (upQueries.length === 0) {
    console.log('Nothing has changed.');
  } else {
    const stamp = new Date().toISOString().replace(/\D/g, '').slice(0, 14);
    const className = what.replace(/(^|-)(\w)/g, (_, __, letter: string) => letter.toUpperCase()) + stamp;
    const lines = (queries: { query: string; parameters?: unknown[] }[]) =>
      queries
        .map(({ query }) => `    await runner.query(\`${query.replace(/[`\\]|\$\{/g, '\\$&')}\`);`)
        .join('\n');
    const file = join(process.cwd(), 'migrations', `${stamp}-${what}.ts`);
    writeFileSync(
      file,
      `import { type MigrationInterface, type QueryRunner } from 'typeorm';

export class ${className} implements MigrationInterface {
  name = '${className}';

  async up(runner: QueryRunner): Promise<void> {
${lines(upQueries)}
  }

  async down(runner: QueryRunner): Promise<void> {
${lines([...downQueries].reverse())}
  }
}
`,
    );
    console.log(file);
  }
} finally {
  await source.destroy();
}
