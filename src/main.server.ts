import { flushCompileCache } from 'node:module';
import { ConfigError } from './config/read-config.js';
import { readServerConfig } from './config/server.config.js';
import { createLogger } from './kernel/logging/logger.js';
import { startServer } from './server/start-server.js';

const STOP_WITHIN_MS = 5_000;

async function main(): Promise<void> {
  const config = readServerConfig();
  const log = createLogger({ name: 'server', level: config.logLevel });
  const stopping = new AbortController();
  process.on('unhandledRejection', (error) => {
    log.fatal({ err: error }, 'a promise was rejected and nobody looked');
    process.exit(1);
  });
  process.on('uncaughtException', (error) => {
    log.fatal({ err: error }, 'an exception was not caught');
    process.exit(1);
  });
  const server = startServer(config, log, stopping.signal);
  const stop = (): void => {
    if (stopping.signal.aborted) return;
    stopping.abort();
    setTimeout(() => {
      log.warn(`not all ended within ${STOP_WITHIN_MS / 1_000} s`);
      process.exit(0);
    }, STOP_WITHIN_MS).unref();
    server.then(
      async (running) => {
        await running.stop();
        log.info('the server has ended');
        process.exit(0);
      },
      () => process.exit(1),
    );
  };
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
  try {
    await server;
    // Now, since one that is killed writes nothing at its end. Where no folder is named for it this does nothing.
    flushCompileCache();
  } catch (error) {
    if (!stopping.signal.aborted) log.fatal({ err: error }, 'the server could not start');
    process.exit(1);
  }
}

try {
  await main();
} catch (error) {
  if (!(error instanceof ConfigError)) throw error;
  process.stderr.write(`domus server: ${error.message}\n`);
  process.exitCode = 2;
}
