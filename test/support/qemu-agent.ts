import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pino } from 'pino';
import { Agent } from '../../src/agent/agent.js';
import { TokenFile } from '../../src/agent/enrolment/token-file.js';
import { simulatedMachine } from '../../src/agent/inventory/machine.js';
import { createQemuDriver } from '../../src/hypervisor-driver/qemu/index.js';
import { createBackends } from '../../src/storage-backend/backends.js';
import { eventually } from './eventually.js';
import { qemusOf } from './qemus-of.js';

/** The pool that it enters. */
export interface EnteredPool {
  readonly poolId: string;
  readonly enrolUrl: string;
  // Of a test server, whose bodies are whatever the server says.
  // eslint-disable-next-line @typescript-eslint/no-explicit-any
  rest(method: string, path: string, body?: unknown): Promise<{ readonly body: any }>;
}

export interface QemuAgent {
  readonly hostId: string;
  readonly name: string;
  /** Its QEMU processes, whoever knows of them. */
  pids(): number[];
  /** What its driver complained of. */
  readonly faults: unknown[];
  /** Ends the agent: nobody reaches the host any more, and its guests go on. */
  cutOff(): Promise<void>;
  comeBack(): Promise<void>;
  /** The agent and all that it ran. The folder is its caller's. */
  end(): Promise<void>;
}

/** This machine as a host of a pool, with the real QEMU under TCG. `folder`: with a path short enough for sockets. */
export async function qemuAgent(pool: EnteredPool, folder: string, name: string): Promise<QemuAgent> {
  const runtimeDir = join(folder, `run-${name}`);
  mkdirSync(runtimeDir, { mode: 0o700 });
  const minted = await pool.rest('POST', `/v1/pools/${pool.poolId}/enrolment-tokens`, {});
  const tokenFile = join(folder, `${name}.token`);
  writeFileSync(tokenFile, `${String(minted.body.token)}\n`, { mode: 0o600 });
  const faults: unknown[] = [];
  const begin = async () => {
    const agent = new Agent({
      folder: join(folder, name),
      hostName: name,
      listen: { host: '127.0.0.1', port: 0 },
      enrolUrl: pool.enrolUrl,
      tokens: await TokenFile.read(tokenFile).catch(() => null),
      driver: createQemuDriver({
        domainsDir: join(folder, name, 'domains'),
        runtimeDir,
        accelerator: 'tcg',
        onFault: (error) => void faults.push(error),
      }),
      backends: createBackends({ qemuImg: 'qemu-img' }),
      machine: async () => ({ ...simulatedMachine(`boot-of-${name}`), simulated: false }),
      log: pino({ level: 'silent' }),
      retryMs: () => 20,
    });
    return { agent, record: await agent.start() };
  };
  let running = await begin();
  const { hostId } = running.record;
  const pids = () => qemusOf(runtimeDir);
  await eventually(async () => (await pool.rest('GET', `/v1/hosts/${hostId}`)).body.state === 'online', {
    what: `${name} online`,
  });
  return {
    hostId,
    name,
    pids,
    faults,
    cutOff: () => running.agent.close(),
    comeBack: async () => {
      running = await begin();
    },
    end: async () => {
      await running.agent.close();
      for (const pid of pids()) process.kill(pid, 'SIGKILL');
    },
  };
}
