import { z } from 'zod';
import { type Environment, readConfig } from './read-config.js';

const schema = z
  .object({
    DOMUS_NO_INSTALL: z.stringbool().default(false),
    DOMUS_ACCEL: z.enum(['auto', 'tcg', 'kvm']).default('auto'),
    DATABASE_URL: z
      .string()
      .regex(/^postgres(ql)?:\/\//, 'must begin with postgres://')
      .optional(),
    REDIS_URL: z
      .string()
      .regex(/^rediss?:\/\//, 'must begin with redis://')
      .optional(),
    DOMUS_METRICS_LISTEN: z.string().optional(),
    DOMUS_ENROL_LISTEN: z.string().optional(),
    DOMUS_SIMULATED_HOSTS: z.coerce.number().int().min(1).max(10_000).default(3),
    XDG_RUNTIME_DIR: z.string().startsWith('/', 'must be an absolute path').optional(),
    PATH: z.string().default('/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'),
  })
  .transform((env) => ({
    /** Forbids every download and install. */
    noInstall: env.DOMUS_NO_INSTALL,
    accelerator: env.DOMUS_ACCEL,
    /** Set: no embedded PostgreSQL is started. */
    databaseUrl: env.DATABASE_URL,
    redisUrl: env.REDIS_URL,
    /** Passed through to the server, which judges them. */
    metricsListen: env.DOMUS_METRICS_LISTEN,
    enrolListen: env.DOMUS_ENROL_LISTEN,
    /** How many hosts `up --simulate` plays. */
    simulatedHosts: env.DOMUS_SIMULATED_HOSTS,
    runtimeHome: env.XDG_RUNTIME_DIR,
    path: env.PATH,
  }));

export type LauncherConfig = z.output<typeof schema> & {
  /** Everything that was set: the programs that the launcher starts read their own part of it. */
  readonly environment: Environment;
};

export const readLauncherConfig = (environment: Environment = process.env): LauncherConfig => ({
  ...readConfig(schema, environment),
  environment,
});
