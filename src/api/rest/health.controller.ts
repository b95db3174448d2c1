import { Controller, Get } from '@nestjs/common';
import { ApiExcludeController } from '@nestjs/swagger';
import { DataSource } from 'typeorm';
import { Reader } from '../../kernel/database/reader.js';
import { databaseUnavailable } from '../../kernel/errors/problems.js';
import { Public } from './gate.js';

/** For whoever watches the process. `/healthz`: it runs. `/readyz`: it can serve, which needs the database and every migration. */
@ApiExcludeController()
@Controller()
export class HealthController {
  constructor(
    private readonly reader: Reader,
    private readonly source: DataSource,
  ) {}

  @Get('healthz')
  @Public()
  health(): { status: string } {
    return { status: 'ok' };
  }

  @Get('readyz')
  @Public()
  async ready(): Promise<{ status: string }> {
    const rows = await this.reader.run({ text: 'select name from migrations', values: [] });
    const run = new Set(rows.map(([name]) => name));
    const expected = this.source.migrations.map(({ name, constructor }) => name ?? constructor.name);
    const missing = expected.filter((name) => !run.has(name));
    if (missing.length > 0)
      throw databaseUnavailable('The database lacks migrations.', { retryAfterSeconds: 1 });
    return { status: 'ready' };
  }
}
