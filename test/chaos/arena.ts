import { execFileSync } from 'node:child_process';
import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import pg from 'pg';
import { projectRoot } from '../../src/launcher/project-root.js';
import { eventually } from '../support/eventually.js';
import { FaultProxy } from '../support/fault-proxy.js';
import { ownPort } from '../support/own-port.js';
import { startPostgres, type TestPostgres } from '../support/postgres.js';
import { qemusOf } from '../support/qemus-of.js';
import { startRedis, type TestRedis } from '../support/redis.js';
import { scratchFolder } from '../support/scratch-folder.js';
import { SeededRandom } from '../support/seeded-random.js';
import { ApiCaller } from './api-caller.js';
import { type OutsideAct } from './history.js';
import { Janitor } from './janitor.js';
import { Program } from './program.js';

export interface ArenaOptions {
  /** Where the queue lives. Default: BullMQ's PostgreSQL backend. */
  readonly queue?: 'postgres' | 'redis';
  /** Name → roles (`api,worker,link`). Default: two replicas, each with all roles. At least one has `api`, one `link`. */
  readonly servers?: Readonly<Record<string, string>>;
  /** Name → hosts it plays (fake driver), or its one real host (`driver: 'qemu'`). Default: one agent with three hosts. */
  readonly agents?: Readonly<Record<string, number>>;
  readonly driver?: 'fake' | 'qemu';
  /** Ways that lead through a fault proxy. */
  readonly proxies?: readonly ('api' | 'database' | 'redis' | 'agents')[];
  readonly seed?: number;
  /** PostgreSQL's data lie on a disk of this size (`arena.postgres.disk`), which can be filled. Needs root. */
  readonly postgresDiskBytes?: number;
  /** Given to every server and agent. */
  readonly environment?: Readonly<Record<string, string>>;
}

export interface ArenaHost {
  readonly id: string;
  readonly name: string;
  /** The program that plays it. */
  readonly agent: string;
  /** What happened to its guests (readHistory in the fake driver), and the folder for acts behind its agent's back. */
  readonly historyFile: string;
  readonly actsFolder: string;
  readonly journalFile: string;
  /** Only with `proxies: ['agents']`: every server dials the agent through it. */
  readonly proxy: FaultProxy | undefined;
}

/** Something ended and nobody had killed it, or would not start again. Always a finding. */
export interface Misfortune {
  readonly at: string;
  readonly program: string;
  readonly how: string;
}

/**
 * A whole Domus in real processes, to be hurt: PostgreSQL, Redis where the queue is there, servers, agents. `kill`, `pause`,
 * `resume`, `start` on each part; `close` ends and removes everything and answers with the pids of what it had to end by force.
 */
export class Arena {
  readonly servers = new Map<string, Program>();
  readonly agents = new Map<string, Program>();
  readonly hosts: ArenaHost[] = [];
  readonly misfortunes: Misfortune[] = [];
  /** What was done to guests behind their agents' backs. */
  readonly acts: OutsideAct[] = [];
  /** Only those that were asked for. `api` and `database` by the server's name. */
  readonly proxies: {
    api: Map<string, FaultProxy>;
    database: Map<string, FaultProxy>;
    redis: FaultProxy | undefined;
  } = { api: new Map(), database: new Map(), redis: undefined };
  poolId = '';

  private constructor(
    readonly folder: string,
    readonly token: string,
    readonly postgres: TestPostgres,
    readonly redis: TestRedis | undefined,
    /** Asks any API that answers. */
    readonly api: ApiCaller,
    /** Straight to PostgreSQL, past every proxy. Fails while it is away. */
    readonly sql: pg.Pool,
    private readonly janitor: Janitor,
  ) {}

  /** Ready when every host is online. */
  static async open(options: ArenaOptions = {}): Promise<Arena> {
    buildWhatRuns();
    const janitor = new Janitor();
    const scratch = scratchFolder('chaos');
    janitor.folder(scratch.path);
    let arena: Arena | undefined;
    try {
      const postgres = await startPostgres({ diskBytes: options.postgresDiskBytes });
      if (postgres.disk) janitor.mount(postgres.disk.path);
      janitor.folder(postgres.folder);
      janitor.process(postgres.pid);
      const redis = options.queue === 'redis' ? await startRedis() : undefined;
      if (redis) {
        janitor.folder(redis.folder);
        janitor.process(redis.pid);
      }
      const token = randomBytes(32).toString('base64url');
      const sql = new pg.Pool({ connectionString: postgres.url, max: 3 });
      sql.on('error', () => undefined);
      const api = new ApiCaller(token);
      arena = new Arena(scratch.path, token, postgres, redis, api, sql, janitor);
      await arena.fill(options);
      return arena;
    } catch (error) {
      if (arena) await arena.close();
      else await janitor.finish();
      throw error;
    }
  }

  server(name: string): Program {
    return partOf(this.servers, name);
  }

  agent(name: string): Program {
    return partOf(this.agents, name);
  }

  get programs(): Program[] {
    return [...this.servers.values(), ...this.agents.values()];
  }

  /** Kills PostgreSQL as a power cut would and brings it back at once. */
  async restartPostgres(awayMs = 0): Promise<void> {
    await this.postgres.kill();
    if (awayMs > 0) await new Promise((resolve) => setTimeout(resolve, awayMs));
    await this.postgres.restart();
    this.janitor.process(this.postgres.pid);
  }

  /** Kills Redis, which had kept nothing, and brings back an empty one. */
  async restartRedis(): Promise<void> {
    await this.redis?.restart();
    if (this.redis) this.janitor.process(this.redis.pid);
  }

  /** Everything that Redis holds is gone; connections stay. */
  async flushRedis(): Promise<void> {
    if (!this.redis) return;
    const client = new Redis(this.redis.url, { lazyConnect: true, maxRetriesPerRequest: 1 });
    client.on('error', () => undefined);
    try {
      await client.connect();
      await client.flushall();
    } finally {
      client.disconnect();
    }
  }

  async rows<R extends pg.QueryResultRow>(text: string, values?: unknown[]): Promise<R[]> {
    return (await this.sql.query<R>(text, values)).rows;
  }

  /** Somebody else at the same servers, as `token:<name>`. Close it when done. */
  async callerNamed(name: string): Promise<ApiCaller> {
    const token = randomBytes(32).toString('base64url');
    const hash = createHash('sha256').update(token).digest();
    await this.rows(`insert into api_token (id, name, role, secret_hash) values ($1, $2, 'pool-admin', $3)`, [
      randomUUID(),
      name,
      hash,
    ]);
    return this.api.as(token);
  }

  /** Leaves an act for whoever plays the host; it is done even if its agent does not run. */
  behindBack(host: ArenaHost, act: 'crash' | 'halt' | 'pause' | 'resume', domainId: string): void {
    const name = randomBytes(6).toString('hex');
    this.acts.push({ at: Date.now(), hostId: host.id, domainId, act });
    const draft = join(host.actsFolder, name);
    writeFileSync(draft, JSON.stringify({ act, domainId }));
    // By a rename: nobody reads half of it.
    renameSync(draft, `${draft}.json`);
  }

  /** Again is no error. Answers with what would not end by itself: nothing, unless something is wrong. */
  async close(): Promise<number[]> {
    for (const program of this.programs) program.resume();
    await Promise.all(this.programs.map((program) => program.stop().catch(() => undefined)));
    // Real guests outlive their agents; nobody needs them any more.
    for (const pid of qemusOf(this.folder)) process.kill(pid, 'SIGKILL');
    this.api.close();
    await this.sql.end().catch(() => undefined);
    const { api, database, redis } = this.proxies;
    const ways = [...api.values(), ...database.values(), redis];
    for (const proxy of [...ways, ...this.hosts.map((host) => host.proxy)])
      await proxy?.close().catch(() => undefined);
    await this.redis?.stop().catch(() => undefined);
    await this.postgres.stop().catch(() => undefined);
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 5 });
    return this.janitor.finish();
  }

  private async fill(options: ArenaOptions): Promise<void> {
    const { servers = { one: 'api,worker,link', two: 'api,worker,link' }, agents = { agent: 3 } } = options;
    const random = new SeededRandom(options.seed ?? 1);
    const through = (way: 'api' | 'database' | 'redis' | 'agents') => options.proxies?.includes(way) ?? false;
    writeFileSync(join(this.folder, 'admin.token'), this.token, { mode: 0o600 });
    writeFileSync(join(this.folder, 'secret.key'), randomBytes(32), { mode: 0o600 });
    for (const name of ['logs', 'history', 'enrol']) mkdirSync(join(this.folder, name), { mode: 0o700 });

    let redisUrl = this.redis?.url;
    if (this.redis && through('redis')) {
      const url = new URL(this.redis.url);
      const target = { host: '127.0.0.1', port: Number(url.port) };
      this.proxies.redis = await FaultProxy.open(target, random.fork().next);
      url.port = String(this.proxies.redis.port);
      redisUrl = url.href;
    }
    const shared = {
      ...plainEnvironment(),
      ...options.environment,
      NODE_COMPILE_CACHE: join(projectRoot, '.domus/cache/compiled'),
    };
    const enrolUrls: string[] = [];
    for (const [name, roles] of Object.entries(servers)) {
      // The same over its restarts: clients and agents know it by them.
      const [port, enrolPort] = [await ownPort(), await ownPort()];
      const folder = this.makeFolder(name);
      const program = this.program('main.server', name, folder, {
        ...shared,
        DOMUS_DATA_DIR: folder,
        DATABASE_URL: through('database')
          ? await this.databaseThroughProxy(name, random.fork())
          : this.postgres.url,
        REDIS_URL: redisUrl,
        DOMUS_ROLES: roles,
        DOMUS_LISTEN: `127.0.0.1:${port}`,
        DOMUS_METRICS_LISTEN: '127.0.0.1:0',
        DOMUS_ENROL_LISTEN: `127.0.0.1:${enrolPort}`,
        DOMUS_ADMIN_TOKEN_FILE: join(this.folder, 'admin.token'),
        DOMUS_SECRET_KEY_FILE: join(this.folder, 'secret.key'),
        DOMUS_SIMULATED: 'false',
      });
      this.servers.set(name, program);
      if (roles.split(',').includes('api')) {
        const target = { host: '127.0.0.1', port };
        const proxy = through('api') ? await FaultProxy.open(target, random.fork().next) : undefined;
        if (proxy) this.proxies.api.set(name, proxy);
        this.api.add(proxy?.port ?? port);
      }
      if (roles.split(',').includes('link')) enrolUrls.push(`https://127.0.0.1:${enrolPort}`);
    }
    // The first migrates; the others would only wait for it.
    for (const [at, program] of [...this.servers.values()].entries()) {
      if (at === 0) await program.start();
      else program.launch();
    }
    await Promise.all([...this.servers.values()].map((program) => program.ready()));
    this.poolId = (await this.api.ask<{ id: string }>('POST', '/v1/pools', { name: 'default' })).id;
    for (const [name, count] of Object.entries(agents))
      await this.addAgent(name, count, {
        driver: options.driver ?? 'fake',
        environment: { ...shared, DOMUS_ENROL_URL: enrolUrls[0] ?? '' },
        random: through('agents') ? random.fork() : undefined,
      });
  }

  private async addAgent(
    name: string,
    count: number,
    how: {
      driver: 'fake' | 'qemu';
      environment: Record<string, string | undefined>;
      random: SeededRandom | undefined;
    },
  ): Promise<void> {
    const folder = this.makeFolder(name);
    const tokenFile = join(this.folder, 'enrol', `${name}.token`);
    const tokens: string[] = [];
    for (let made = 0; made < count; made += 1) {
      const path = `/v1/pools/${this.poolId}/enrolment-tokens`;
      tokens.push((await this.api.ask<{ token: string }>('POST', path, {})).token);
    }
    writeFileSync(tokenFile, tokens.map((token) => `${token}\n`).join(''), { mode: 0o600 });
    const history = join(this.folder, 'history');
    const runtime = join(this.folder, `r-${name}`);
    mkdirSync(runtime, { mode: 0o700 });
    const program = this.program(
      'main.agent',
      name,
      folder,
      {
        ...how.environment,
        DOMUS_DATA_DIR: folder,
        DOMUS_RUNTIME_DIR: runtime,
        DOMUS_AGENT_LISTEN: '127.0.0.1:0',
        DOMUS_ENROL_TOKEN_FILE: tokenFile,
        DOMUS_HOST_NAME: name,
        DOMUS_DRIVER: how.driver,
        DOMUS_ACCEL: 'tcg',
        DOMUS_SIMULATED_HOSTS: String(count),
        DOMUS_GUEST_HISTORY: history,
      },
      count,
    );
    this.agents.set(name, program);
    await program.start();
    const names = Array.from({ length: count }, (_, at) => (count === 1 ? name : `${name}-${at + 1}`));
    const list = `/v1/hosts?limit=1000`;
    const online = await eventually(
      async () => {
        const { items } = await this.api.ask<{ items: { id: string; name: string; state: string }[] }>(
          'GET',
          list,
        );
        const ours = items.filter((host) => names.includes(host.name) && host.state === 'online');
        return ours.length === count && ours;
      },
      { within: 60_000, what: `that the hosts of ${name} are online` },
    );
    for (const { id, name: hostName } of online) {
      const place = join(history, hostName);
      const proxy = how.random && (await this.throughProxy(id, how.random.fork()));
      const own =
        how.driver === 'qemu' ? 'agent' : join('agent', 'hosts', String(names.indexOf(hostName) + 1));
      const files = {
        historyFile: `${place}.jsonl`,
        actsFolder: `${place}.acts`,
        journalFile: join(folder, own, 'journal', 'journal'),
      };
      this.hosts.push({ id, name: hostName, agent: name, ...files, proxy });
    }
  }

  /** Where this one server finds PostgreSQL. */
  private async databaseThroughProxy(server: string, random: SeededRandom): Promise<string> {
    const socket = new URL(this.postgres.url.replace('postgres://', 'http://').replace('@/', '@x/'));
    const path = join(socket.searchParams.get('host') ?? '', '.s.PGSQL.5432');
    const proxy = await FaultProxy.open({ path }, random.next);
    this.proxies.database.set(server, proxy);
    return `postgres://${socket.username}:${socket.password}@127.0.0.1:${proxy.port}${socket.pathname}`;
  }

  /** The address that servers dial is the one in the host's row: from now on the proxy's. */
  private async throughProxy(hostId: string, random: SeededRandom): Promise<FaultProxy> {
    const [row] = await this.rows<{ address: string }>('select address from host where id = $1', [hostId]);
    const port = Number(row?.address.split(':').at(-1));
    const proxy = await FaultProxy.open({ host: '127.0.0.1', port }, random.next);
    await this.rows('update host set address = $2 where id = $1', [hostId, `127.0.0.1:${proxy.port}`]);
    return proxy;
  }

  private makeFolder(name: string): string {
    const folder = join(this.folder, name);
    mkdirSync(folder, { mode: 0o700 });
    return folder;
  }

  private program(
    main: 'main.server' | 'main.agent',
    name: string,
    folder: string,
    environment: Record<string, string | undefined>,
    hosts = 0,
  ): Program {
    const serverFile = join(folder, 'run/server.json');
    return new Program({
      name,
      main,
      folder,
      logFile: join(this.folder, 'logs', `${name}.log`),
      environment,
      isReady: (pid, logged) =>
        main === 'main.server'
          ? pidIn(serverFile) === pid
          : logged().split('listening for the server').length > hosts,
      started: (pid) => this.janitor.process(pid),
      died: (how) => this.misfortunes.push({ at: new Date().toISOString(), program: name, how }),
    });
  }
}

function partOf(parts: ReadonlyMap<string, Program>, name: string): Program {
  const found = parts.get(name);
  if (!found) throw new Error(`There is no ${name}; there are ${[...parts.keys()].join(', ')}.`);
  return found;
}

function pidIn(file: string): number | undefined {
  try {
    return (JSON.parse(readFileSync(file, 'utf8')) as { pid: number }).pid;
  } catch {
    return undefined;
  }
}

/** The programs run from `dist/`; nothing happens when it is up to date. */
function buildWhatRuns(): void {
  execFileSync(join(projectRoot, 'domus'), ['help'], {
    env: { ...plainEnvironment(), DOMUS_NO_INSTALL: '1' },
    stdio: ['ignore', 'ignore', 'inherit'],
  });
}

function plainEnvironment(): Record<string, string> {
  const { PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', HOME = '/' } = process.env;
  return { PATH, HOME };
}
