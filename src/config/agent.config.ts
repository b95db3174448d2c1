import { hostname } from 'node:os';
import { z } from 'zod';
import { absolutePath, type Environment, listenAddress, logLevel, readConfig } from './read-config.js';

const schema = z
  .object({
    DOMUS_DATA_DIR: absolutePath,
    DOMUS_RUNTIME_DIR: absolutePath,
    DOMUS_AGENT_LISTEN: listenAddress.prefault('127.0.0.1:0'),
    DOMUS_AGENT_ADVERTISE: listenAddress.optional(),
    DOMUS_ENROL_URL: z.url({ protocol: /^https$/ }).optional(),
    DOMUS_ENROL_TOKEN_FILE: absolutePath.optional(),
    DOMUS_HOST_NAME: z.string().min(1).max(63).default(hostname().slice(0, 63)),
    DOMUS_DRIVER: z.enum(['auto', 'qemu', 'xen', 'fake']).default('auto'),
    DOMUS_ACCEL: z.enum(['auto', 'tcg', 'kvm']).default('auto'),
    DOMUS_SIMULATED_HOSTS: z.coerce.number().int().min(1).max(10_000).default(3),
    DOMUS_GUEST_HISTORY: absolutePath.optional(),
    DOMUS_LOG_LEVEL: logLevel.default('info'),
  })
  .transform((env) => ({
    dataDir: env.DOMUS_DATA_DIR,
    /** Short and 0700: sockets are made here. */
    runtimeDir: env.DOMUS_RUNTIME_DIR,
    /** With port 0 the agent takes any free port once and keeps it. */
    listen: env.DOMUS_AGENT_LISTEN,
    /** Where the server reaches it, if that is not where it listens: through a port forward or NAT. */
    advertise: env.DOMUS_AGENT_ADVERTISE,
    enrolUrl: env.DOMUS_ENROL_URL,
    enrolTokenFile: env.DOMUS_ENROL_TOKEN_FILE,
    hostName: env.DOMUS_HOST_NAME,
    /** `auto`: Xen's in the control domain of a Xen host, QEMU's elsewhere. */
    driver: env.DOMUS_DRIVER,
    accelerator: env.DOMUS_ACCEL,
    simulatedHosts: env.DOMUS_SIMULATED_HOSTS,
    /** A folder: what happens to each simulated host's guests is written there, a file a host. */
    guestHistory: env.DOMUS_GUEST_HISTORY,
    logLevel: env.DOMUS_LOG_LEVEL,
  }));

export type AgentConfig = z.output<typeof schema>;

export const readAgentConfig = (environment: Environment = process.env): AgentConfig =>
  readConfig(schema, environment);
