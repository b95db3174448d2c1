import { globSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import type { LauncherConfig } from '../config/launcher.config.js';
import { ApiClient, type ServerFile } from './api-client.js';
import { type DataFolder, prepareRuntimeFolder, readAdminToken } from './data-folder.js';
import {
  agentPart,
  clusterOf,
  currentBuild,
  lastServerFile,
  readServerFile,
  serverPart,
} from './installation.js';
import { failed } from './launcher-error.js';
import { chooseListeners } from './ports.js';
import { startPostgres } from './postgres/supervisor.js';
import {
  type BackgroundPart,
  type BackgroundProcess,
  findBackground,
  forgetBackground,
  lastLines,
  sizeOf,
  startBackground,
} from './process/background.js';
import { endProcess, isAlive, until } from './process/process-table.js';

export interface BringUp {
  readonly folder: DataFolder;
  readonly config: LauncherConfig;
  readonly port: number;
  readonly simulate: boolean;
  readonly note: (line: string) => void;
  /** What the agent should find when it starts. */
  readonly beforeAgent?: Promise<unknown>;
}

const serverDeadlineMs = 60_000;
const hostDeadlineMs = 60_000;
const stopDeadlineMs = 15_000;

/** Adopts what runs and starts what is missing, in the order in which they need each other. */
export async function bringUp(request: BringUp): Promise<{ client: ApiClient; server: ServerFile }> {
  const { folder, config } = request;
  const began = new Date();
  const databaseUrl = config.databaseUrl ?? (await startPostgres(clusterOf(folder, config))).url;
  const { server, started } = await ensureServer(request, databaseUrl);
  const client = new ApiClient(server.url, readAdminToken(folder));
  await request.beforeAgent;
  await ensureAgent(request, client, server, started ? began : undefined);
  return { client, server };
}

async function ensureServer(
  request: BringUp,
  databaseUrl: string,
): Promise<{ server: ServerFile; started: boolean }> {
  const part = serverPart(request.folder);
  const build = currentBuild();
  const running = await keepOrEnd(part, build, request.note);
  if (running) return { server: await untilReady(part, running, request.folder, 0), started: false };
  const { folder, config } = request;
  const listeners = await chooseListeners(request.port, config, lastServerFile(folder));
  rmSync(folder.serverFile, { force: true });
  const logFrom = sizeOf(part.logFile);
  const started = await startBackground(part, {
    build,
    environment: {
      ...config.environment,
      DOMUS_DATA_DIR: folder.path,
      DATABASE_URL: databaseUrl,
      DOMUS_LISTEN: listeners.api,
      DOMUS_METRICS_LISTEN: listeners.metrics,
      DOMUS_ENROL_LISTEN: listeners.enrol,
      DOMUS_ADMIN_TOKEN_FILE: folder.adminTokenFile,
      DOMUS_SECRET_KEY_FILE: folder.secretKeyFile,
      DOMUS_SIMULATED: String(request.simulate),
    },
  });
  return { server: await untilReady(part, started, folder, logFrom), started: true };
}

/** A process of another build is ended, to be started anew from this one: the guests do not notice. */
async function keepOrEnd(
  part: BackgroundPart,
  build: string,
  note: (line: string) => void,
): Promise<BackgroundProcess | undefined> {
  const running = findBackground(part);
  if (!running || running.build === build) return running;
  note(`the ${part.name} runs another build: starting it anew …`);
  await endProcess(running, 'SIGTERM', stopDeadlineMs);
  forgetBackground(part);
  return undefined;
}

async function untilReady(
  part: BackgroundPart,
  process: BackgroundProcess,
  folder: DataFolder,
  logFrom: number,
): Promise<ServerFile> {
  let file: ServerFile | undefined;
  let ready = false;
  await until(async () => {
    file ??= readServerFile(folder, process);
    ready = file !== undefined && (await isReady(file.url));
    return ready || !isAlive(process);
  }, serverDeadlineMs);
  if (file && ready) return file;
  throw failed(notStarted(part, process, logFrom));
}

async function isReady(url: string): Promise<boolean> {
  try {
    return (await fetch(`${url}/readyz`, { signal: AbortSignal.timeout(2_000) })).ok;
  } catch {
    return false;
  }
}

function notStarted(part: BackgroundPart, process: BackgroundProcess, logFrom: number): string {
  const what = isAlive(process) ? 'is not ready after 60 s' : 'ended before it was ready';
  return `The ${part.name} ${what}; the end of ${part.logFile}:\n${lastLines(part.logFile, logFrom)}`;
}

interface Named {
  readonly id: string;
  readonly name: string;
}

interface Host extends Named {
  readonly state: string;
  readonly observedAt: string | null;
}

async function ensureAgent(
  request: BringUp,
  client: ApiClient,
  server: ServerFile,
  serverStarted: Date | undefined,
): Promise<void> {
  const { folder, config, simulate } = request;
  const part = agentPart(folder);
  const build = currentBuild();
  const adopted = await keepOrEnd(part, build, request.note);
  let process = adopted;
  const tokenFile = join(folder.run, 'enrol.token');
  const logFrom = sizeOf(part.logFile);
  const agentStarted = new Date();
  if (!process) {
    const wanted = simulate ? config.simulatedHosts : 1;
    const enrolled = enrolledHosts(folder.agent).size;
    if (enrolled < wanted) await mintEnrolmentTokens(client, tokenFile, wanted - enrolled);
    process = await startBackground(part, {
      build,
      environment: {
        ...config.environment,
        DATABASE_URL: undefined,
        REDIS_URL: undefined,
        DOMUS_DATA_DIR: folder.path,
        DOMUS_RUNTIME_DIR: prepareRuntimeFolder(folder, config.runtimeHome),
        DOMUS_ENROL_URL: server.enrolUrl,
        DOMUS_ENROL_TOKEN_FILE: enrolled < wanted ? tokenFile : undefined,
        DOMUS_DRIVER: simulate ? 'fake' : 'qemu',
        DOMUS_ACCEL: config.accelerator,
        DOMUS_HOST_NAME:
          config.environment['DOMUS_HOST_NAME'] ??
          (enrolled === 0 ? await freeHostName(client, simulate) : undefined),
      },
    });
  }
  const since = serverStarted ?? (process === adopted ? undefined : agentStarted);
  await untilOnline(client, part, process, { logFrom, since, agentFolder: folder.agent });
  rmSync(tokenFile, { force: true });
}

async function untilOnline(
  client: ApiClient,
  part: BackgroundPart,
  process: BackgroundProcess,
  { logFrom, since, agentFolder }: { logFrom: number; since: Date | undefined; agentFolder: string },
): Promise<void> {
  let hosts: Host[] = [];
  // What the server knew of a host before it, or the agent, was started again says nothing about now.
  const isOnline = ({ state, observedAt }: Host) =>
    state === 'online' && (since === undefined || (observedAt !== null && new Date(observedAt) >= since));
  const online = await until(
    async () => {
      // Other hosts of the pool are elsewhere, and may be away.
      const own = enrolledHosts(agentFolder);
      hosts = (await client.list<Host>('/v1/hosts')).filter(({ id }) => own.has(id));
      return !isAlive(process) || (hosts.length > 0 && hosts.every(isOnline));
    },
    hostDeadlineMs,
    100,
  );
  if (!isAlive(process)) throw failed(notStarted(part, process, logFrom));
  // Of several that are played here, one is enough to go on.
  if (!online && !hosts.some(isOnline)) {
    throw failed(`The agent runs, but its host is not online after 60 s; see ${part.logFile}.`);
  }
}

/** One-time tokens, one a line: the agent takes out what it has used. */
async function mintEnrolmentTokens(client: ApiClient, file: string, count: number): Promise<void> {
  const pool = await ensureDefaultPool(client);
  const tokens: string[] = [];
  for (let made = 0; made < count; made++) {
    const { token } = await client.post<{ token: string }>(`/v1/pools/${pool.id}/enrolment-tokens`);
    tokens.push(token);
  }
  rmSync(file, { force: true });
  writeFileSync(file, tokens.map((token) => `${token}\n`).join(''), { mode: 0o600, flag: 'wx' });
}

/** This machine's name, or the next one that no host of the pool has: an inventory that was restored here knows hosts of elsewhere. */
async function freeHostName(client: ApiClient, simulate: boolean): Promise<string> {
  const taken = (await client.list<Host>('/v1/hosts')).map(({ name }) => name);
  // Hosts that are played together have a number each.
  const isTaken = (name: string): boolean =>
    taken.some((one) => one === name || (simulate && one.startsWith(`${name}-`)));
  const own = hostname().slice(0, 50);
  for (let name = own, next = 2; ; name = `${own}-${next++}`) if (!isTaken(name)) return name;
}

/** The hosts that this folder's agent has enrolled: one, or one a folder where it plays several. */
function enrolledHosts(agentFolder: string): Set<string> {
  const records = globSync(['agent.json', '*/agent.json', '*/*/agent.json'], { cwd: agentFolder });
  const idOf = (name: string) =>
    JSON.parse(readFileSync(join(agentFolder, name), 'utf8')) as { hostId: string };
  return new Set(records.map((name) => idOf(name).hostId));
}

export async function ensureDefaultPool(client: ApiClient): Promise<Named> {
  const pools = await client.list<Named>('/v1/pools');
  return (
    pools.find((pool) => pool.name === 'default') ??
    pools[0] ??
    (await client.post<Named>('/v1/pools', { name: 'default' }))
  );
}
