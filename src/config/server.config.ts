import { z } from 'zod';
import { addPassword } from './database-password.js';
import { absolutePath, type Environment, listenAddress, logLevel, readConfig } from './read-config.js';

const role = z.enum(['api', 'worker', 'link']);

const roles = z
  .string()
  .default('api,worker,link')
  .transform((text) => text.split(',').map((part) => part.trim()))
  .pipe(z.array(role).min(1))
  .transform((list) => new Set(list));

const proxies = z
  .string()
  .default('')
  .transform((text) => text.split(',').map((part) => part.trim()))
  .transform((list) => list.filter((part) => part !== ''))
  .pipe(
    z.array(z.union([z.cidrv4(), z.cidrv6(), z.ipv4(), z.ipv6()], 'must be addresses or networks (CIDR)')),
  );

const days = z.coerce.number().int().min(1).max(36_500);
const HOUR_MS = 3_600_000;
/** How many operations at once. */
const budget = z.coerce.number().int().min(1).max(1_000_000);

const schema = z
  .object({
    DOMUS_DATA_DIR: absolutePath,
    DATABASE_URL: z.string().regex(/^postgres(ql)?:\/\//, 'must begin with postgres://'),
    DATABASE_PASSWORD_FILE: absolutePath.optional(),
    REDIS_URL: z
      .string()
      .regex(/^rediss?:\/\//, 'must begin with redis://')
      .optional(),
    DOMUS_LISTEN: listenAddress.prefault('127.0.0.1:8080'),
    DOMUS_METRICS_LISTEN: listenAddress.prefault('127.0.0.1:9464'),
    DOMUS_ENROL_LISTEN: listenAddress.prefault('127.0.0.1:8443'),
    DOMUS_TRUSTED_PROXIES: proxies,
    DOMUS_ROLES: roles,
    DOMUS_ADMIN_TOKEN_FILE: absolutePath.optional(),
    DOMUS_SECRET_KEY_FILE: absolutePath,
    DOMUS_BUDGET_HOST: budget.default(64),
    DOMUS_BUDGET_REPOSITORY: budget.default(64),
    DOMUS_BUDGET_CALLER: budget.default(2_000),
    DOMUS_SIMULATED: z.stringbool().default(false),
    // Agents drop by themselves after a week what a server never released: until then a row must be there to ask.
    DOMUS_KEEP_OPERATIONS_DAYS: days.min(7).default(90),
    DOMUS_KEEP_EVENTS_DAYS: days.default(30),
    DOMUS_KEEP_EVENTS_COUNT: z.coerce
      .number()
      .int()
      .min(10_000)
      .max(Number.MAX_SAFE_INTEGER)
      .default(10_000_000),
    DOMUS_KEEP_KEYS_HOURS: z.coerce.number().int().min(24).max(168).default(24),
    DOMUS_LOG_LEVEL: logLevel.default('info'),
  })
  .transform((env, context) => ({
    dataDir: env.DOMUS_DATA_DIR,
    databaseUrl: addPassword(env.DATABASE_URL, env.DATABASE_PASSWORD_FILE, context),
    /** Absent: BullMQ's PostgreSQL backend moves the work. */
    redisUrl: env.REDIS_URL,
    listen: env.DOMUS_LISTEN,
    /** Their `X-Forwarded-*` headers are believed: who the caller is, and that it came by HTTPS. Nobody else's are. */
    trustedProxies: env.DOMUS_TRUSTED_PROXIES,
    metricsListen: env.DOMUS_METRICS_LISTEN,
    enrolListen: env.DOMUS_ENROL_LISTEN,
    roles: env.DOMUS_ROLES,
    adminTokenFile: env.DOMUS_ADMIN_TOKEN_FILE,
    /** 32 bytes that seal the pool's CA key in the database. */
    secretKeyFile: env.DOMUS_SECRET_KEY_FILE,
    budgets: {
      objects: { host: env.DOMUS_BUDGET_HOST, storage_repository: env.DOMUS_BUDGET_REPOSITORY },
      caller: env.DOMUS_BUDGET_CALLER,
    },
    /** Every answer then says so in the header `Domus-Simulated`. */
    simulated: env.DOMUS_SIMULATED,
    /** What has been kept for that long goes; in milliseconds, and a number of events. */
    keep: {
      operations: env.DOMUS_KEEP_OPERATIONS_DAYS * 24 * HOUR_MS,
      events: env.DOMUS_KEEP_EVENTS_DAYS * 24 * HOUR_MS,
      eventCount: env.DOMUS_KEEP_EVENTS_COUNT,
      keys: env.DOMUS_KEEP_KEYS_HOURS * HOUR_MS,
    },
    logLevel: env.DOMUS_LOG_LEVEL,
  }));

export type ServerConfig = z.output<typeof schema>;

export const readServerConfig = (environment: Environment = process.env): ServerConfig =>
  readConfig(schema, environment);
