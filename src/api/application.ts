import { type DynamicModule, type LoggerService } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { type NestFastifyApplication } from '@nestjs/platform-fastify';
import { type Logger } from 'pino';
import { type Registry } from 'prom-client';
import { Authenticator } from './authenticator.js';
import { DomusAdapter } from './rest/domus-adapter.js';
import { installAnswerFailpoint } from './rest/answer-failpoint.js';
import { installGate } from './rest/gate.js';
import { installOpenApi } from './rest/openapi.js';
import { readJsonAlone } from './rest/json-bodies.js';
import { ParsePipe } from './rest/parse.pipe.js';
import { answerProblem, ProblemFilter } from './rest/problem.filter.js';
import { installRequestMetrics } from './rest/request-metrics.js';
import { Upgrades } from './upgrades.js';

/** Nest's own lines: what it maps and starts is for us alone. */
function nestLogger(log: Logger): LoggerService {
  const write =
    (level: 'error' | 'warn' | 'debug') =>
    (message: unknown, ...more: unknown[]): void =>
      log[level]({ nest: more.map(String).slice(-1)[0] }, String(message));
  return { log: write('debug'), error: write('error'), warn: write('warn'), debug: write('debug') };
}

/**
 * The faces over a root module, ready to `inject` or to listen. The root provides `LOG` and an `Authenticator`.
 */
export async function createApplication(
  root: DynamicModule,
  options: { log: Logger; registry: Registry; simulated: boolean; trustedProxies?: readonly string[] },
): Promise<NestFastifyApplication> {
  const everyAnswer: Record<string, string> = options.simulated ? { 'domus-simulated': 'true' } : {};
  const adapter = new DomusAdapter(options.log, everyAnswer, options.trustedProxies);
  const app = await NestFactory.create<NestFastifyApplication>(root, adapter, {
    logger: nestLogger(options.log),
    // Ours alone: Nest's would read forms too.
    bodyParser: false,
    abortOnError: false,
  });
  app.useGlobalPipes(new ParsePipe());
  app.useGlobalFilters(new ProblemFilter(options.log));
  const fastify = app.getHttpAdapter().getInstance();
  readJsonAlone(fastify);
  fastify.setErrorHandler((error, request, reply) => answerProblem(options.log, error, request, reply));
  installRequestMetrics(fastify, options.registry);
  installAnswerFailpoint(fastify);
  installGate(fastify, app.get(Authenticator), everyAnswer);
  app.get(Upgrades).everyAnswerHas(everyAnswer);
  installOpenApi(app);
  await app.init();
  await fastify.ready();
  return app;
}
