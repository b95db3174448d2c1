import { GraphQLSchemaHost } from '@nestjs/graphql';
import { printSchema } from 'graphql';
import { randomBytes } from 'node:crypto';
import { Pool } from 'pg';
import { Registry } from 'prom-client';
import { createApplication } from '../api/application.js';
import { openApiDocument } from '../api/rest/openapi.js';
import { createDataSource } from '../data-source.js';
import { problemCatalogue } from '../kernel/errors/problem.js';
import { EventLog } from '../kernel/events/event-log.js';
import { createLogger } from '../kernel/logging/logger.js';
import { OperationEngine } from '../kernel/operations/engine.js';
import { newId } from '../kernel/schema/values.js';
import { ServerModule } from './server.module.js';

/** The checked-in description of both faces, by file name. The same code gives the same bytes. */
export async function describeFaces(): Promise<Record<string, string>> {
  const log = createLogger({ name: 'openapi', level: 'silent' });
  const databaseUrl = 'postgres://nobody@localhost:1/none';
  const source = createDataSource(databaseUrl);
  // Nothing is asked of it: it is there to be injected. pg connects only for a query.
  Object.assign(source.driver, { master: new Pool({ connectionString: databaseUrl }) });
  const queue = {
    publish: async () => {},
    consume: async () => {},
    renew: async () => {},
    close: async () => {},
  };
  const engine = new OperationEngine({
    dataSource: source,
    databaseUrl,
    queue,
    log,
    processId: newId(),
    runs: false,
  });
  const link = { secretKey: randomBytes(32), enrolListen: { host: '127.0.0.1', port: 0 }, link: false };
  const events = new EventLog({ dataSource: source, databaseUrl, log });
  const registry = new Registry();
  const root = ServerModule.with({ source, log, registry, engine, events, link });
  const app = await createApplication(root, { log, registry, simulated: false });
  const files = {
    'openapi.json': `${JSON.stringify(openApiDocument(app), null, 2)}\n`,
    'schema.graphql': `${printSchema(app.get(GraphQLSchemaHost).schema)}\n`,
    'errors.json': `${JSON.stringify(problemCatalogue(), null, 2)}\n`,
  };
  await app.close();
  return files;
}
