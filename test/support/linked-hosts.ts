import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type DataSource, type EntityManager } from 'typeorm';
import { type Fence, type ObservedDomain, type StateFrame } from '../../src/agent-contract/index.js';
import { Agent } from '../../src/agent/agent.js';
import { TokenFile } from '../../src/agent/enrolment/token-file.js';
import { simulatedMachine } from '../../src/agent/inventory/machine.js';
import { createDataSource } from '../../src/data-source.js';
import { CertificateAuthorities } from '../../src/host-link/certificate-authorities.js';
import { HostConnections } from '../../src/host-link/connections.js';
import { Enrolment, type EnrolledHost, EnrolmentSink } from '../../src/host-link/enrolment.js';
import { EnrolmentListener } from '../../src/host-link/enrolment-listener.js';
import { InventorySink } from '../../src/host-link/host-link.js';
import { StateStreams } from '../../src/host-link/state-streams.js';
import {
  createFakeDriver,
  type FakeDriver,
  type FakeHypervisor,
} from '../../src/hypervisor-driver/fake/index.js';
import { createLogger, type Logger } from '../../src/kernel/logging/logger.js';
import { newId } from '../../src/kernel/schema/values.js';
import { createFakeBackends } from '../../src/storage-backend/backends.js';
import { type FakeBackend } from '../../src/storage-backend/fake/fake-backend.js';
import { freshDatabase } from './postgres.js';
import { scratchFolder } from './scratch-folder.js';

/** Resolves when `holds` does; says what it waited for when it never did. */
export async function until(
  what: string,
  holds: () => boolean | Promise<boolean>,
  withinMs = 10_000,
): Promise<void> {
  const deadline = Date.now() + withinMs;
  while (!(await holds())) {
    if (Date.now() > deadline) throw new Error(`In ${withinMs} ms it did not come true that ${what}.`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** Keeps every frame, in order. */
export class RecordingSink extends InventorySink {
  readonly frames: { hostId: string; frame: StateFrame; at: number }[] = [];
  readonly losses: string[] = [];
  /** Set: the next frame is refused once. */
  failNext = false;

  snapshot(hostId: string, frame: StateFrame): Promise<void> {
    return this.take(hostId, frame);
  }
  resync(hostId: string, frame: StateFrame): Promise<void> {
    return this.take(hostId, frame);
  }
  delta(hostId: string, frame: StateFrame): Promise<void> {
    return this.take(hostId, frame);
  }
  lost(hostId: string): Promise<void> {
    this.losses.push(hostId);
    return Promise.resolve();
  }

  /** What the frames so far say of a domain. */
  domain(domainId: string): ObservedDomain | undefined {
    return this.frames.flatMap(({ frame }) => frame.domains).findLast(({ id }) => id === domainId);
  }
  snapshotsOf(hostId: string): number {
    return this.frames.filter((one) => one.hostId === hostId && one.frame.kind === 'snapshot').length;
  }

  private take(hostId: string, frame: StateFrame): Promise<void> {
    if (this.failNext) {
      this.failNext = false;
      return Promise.reject(new Error('planned by the test'));
    }
    this.frames.push({ hostId, frame, at: Date.now() });
    return Promise.resolve();
  }
}

class RecordingEnrolment extends EnrolmentSink {
  readonly hosts: EnrolledHost[] = [];
  enrolled(_manager: EntityManager, host: EnrolledHost): Promise<void> {
    this.hosts.push(host);
    return Promise.resolve();
  }
  moved(_manager: EntityManager, host: EnrolledHost): Promise<void> {
    this.hosts.push(host);
    return Promise.resolve();
  }
}

/** One server's end of the host link over a database of its own, with a pool. */
export interface LinkedServer {
  readonly dataSource: DataSource;
  readonly poolId: string;
  readonly authorities: CertificateAuthorities;
  readonly enrolment: Enrolment;
  readonly links: HostConnections;
  readonly sink: RecordingSink;
  readonly enrolled: RecordingEnrolment;
  readonly enrolUrl: string;
  readonly folder: string;
  readonly log: Logger;
  /** Everything that was logged, as text. */
  readonly logged: () => string;
  readonly streams: StateStreams;
  makePool(name: string): Promise<string>;
  mint(options?: { hostName?: string; ttlSeconds?: number; poolId?: string }): Promise<string>;
  /** An agent with a fake driver; `again` makes the same one anew, as a restarted process would be. */
  agent(options?: Partial<AgentOptions>): Promise<LinkedAgent>;
  close(): Promise<void>;
}

interface AgentOptions {
  name: string;
  folder: string;
  hypervisor: FakeHypervisor;
  token: string;
  listen: { host: string; port: number };
  advertise: { host: string; port: number };
  storage: FakeBackend;
}

export interface LinkedAgent {
  readonly agent: Agent;
  readonly driver: FakeDriver;
  readonly hostId: string;
  readonly address: string;
  readonly folder: string;
  readonly name: string;
}

export async function linkedServer(): Promise<LinkedServer> {
  const database = await freshDatabase();
  const scratch = scratchFolder('link');
  let text = '';
  const log = createLogger(
    { name: 'test', level: 'debug' },
    { write: (line: string) => void (text += line) },
  );
  const dataSource = await createDataSource(database.url).initialize();
  await dataSource.runMigrations();
  const authorities = new CertificateAuthorities(dataSource, randomBytes(32));
  const enrolled = new RecordingEnrolment();
  const enrolment = new Enrolment(dataSource, authorities, enrolled);
  const listener = new EnrolmentListener(authorities, enrolment, log);
  const { port } = await listener.listen({ host: '127.0.0.1', port: 0 });
  const links = new HostConnections(dataSource, authorities, log);
  const sink = new RecordingSink();
  const streams = new StateStreams({
    dataSource,
    connections: links,
    sink,
    replica: { id: newId(), canJudge: () => false },
    log,
  });
  const agents = new Set<Agent>();
  const makePool = async (name: string): Promise<string> => {
    const id = newId();
    await dataSource.transaction(async (manager) => {
      await manager.query('insert into pool (id, name, agent_networks) values ($1, $2, $3)', [
        id,
        name,
        ['127.0.0.0/8'],
      ]);
      await authorities.create(manager, id);
    });
    return id;
  };
  const poolId = await makePool('default');
  const server: LinkedServer = {
    dataSource,
    poolId,
    authorities,
    enrolment,
    links,
    sink,
    enrolled,
    enrolUrl: `https://127.0.0.1:${port}`,
    folder: scratch.path,
    log,
    logged: () => text,
    streams,
    makePool,
    mint: async (options = {}) => {
      const { hostName, ttlSeconds = 3600 } = options;
      const minted = await enrolment.mintEnrolmentToken(options.poolId ?? poolId, { hostName, ttlSeconds });
      if (!minted) throw new Error('There is no such pool.');
      return minted.token;
    },
    agent: async (options = {}) => {
      const name = options.name ?? `host-${newId()}`;
      const folder = options.folder ?? join(scratch.path, name);
      const tokenFile = join(scratch.path, `${name}.token`);
      writeFileSync(tokenFile, `${options.token ?? (await server.mint())}\n`, { mode: 0o600 });
      const driver = createFakeDriver(options.hypervisor ? { hypervisor: options.hypervisor } : {});
      const agent = new Agent({
        folder,
        hostName: name,
        listen: options.listen ?? { host: '127.0.0.1', port: 0 },
        advertise: options.advertise,
        enrolUrl: server.enrolUrl,
        tokens: await TokenFile.read(tokenFile),
        driver,
        backends: {
          ...createFakeBackends(),
          ...(options.storage && { directory: options.storage }),
        },
        machine: () => Promise.resolve(simulatedMachine('boot-1')),
        log,
        retryMs: () => 20,
      });
      agents.add(agent);
      const { hostId, address } = await agent.start().catch(async (error: unknown) => {
        await agent.close();
        throw error;
      });
      return { agent, driver, hostId, address, folder, name };
    },
    close: async () => {
      await streams.stop();
      links.close();
      await listener.close();
      for (const agent of agents) await agent.close().catch(() => undefined);
      await dataSource.destroy();
      await database.drop();
      scratch.remove();
    },
  };
  return server;
}

/** A fence for a first attempt of an operation of its own. */
export const aFence = (over: Partial<Fence> = {}): Fence => ({
  operationId: newId(),
  step: 'only',
  attempt: 1,
  hostEpoch: 1,
  domain: null,
  ...over,
});

/** A spec that the fake driver takes. */
export const aSpec = (over: { id?: string; generation?: number } = {}) => ({
  id: over.id ?? newId(),
  name: 'web',
  generation: over.generation ?? 1,
  vcpus: 1,
  memoryBytes: 64 << 20,
  boot: { kind: 'firmware' as const, firmware: 'bios' as const, order: [] },
  disks: [],
  nics: [],
  consoles: [{ id: newId(), kind: 'serial' as const }],
});
