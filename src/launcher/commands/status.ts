import { ApiClient } from '../api-client.js';
import type { Command, CommandContext } from '../command.js';
import { type DataFolder, dataFolder, isSimulated, readAdminToken } from '../data-folder.js';
import { agentPart, ownHostId, readServerFile, serverPart } from '../installation.js';
import { exitCode } from '../launcher-error.js';
import { clusterFolderOf } from '../postgres/embedded.js';
import { findPostmaster } from '../postgres/supervisor.js';
import { findBackground } from '../process/background.js';

interface PartStatus {
  readonly name: 'server' | 'agent' | 'postgres';
  readonly pid: number | null;
  /** `external`: DATABASE_URL names a PostgreSQL that is not ours to watch. */
  readonly state: 'running' | 'starting' | 'stopped' | 'external';
}

interface DomainStatus {
  readonly id: string;
  readonly name: string;
  readonly state: string;
  readonly pid: number | null;
}

interface Status {
  readonly url: string | null;
  readonly metricsUrl: string | null;
  readonly enrolUrl: string | null;
  readonly dataDir: string;
  readonly accel: string | null;
  readonly simulated: boolean;
  readonly processes: PartStatus[];
  readonly domains: DomainStatus[];
}

/** Never starts, stops or writes anything. Exit 3 unless the server runs. */
export async function status(
  command: Extract<Command, { name: 'status' }>,
  { config, terminal }: CommandContext,
): Promise<number> {
  const found = await gather(dataFolder(command.data), config.databaseUrl !== undefined);
  if (command.json) terminal.out(JSON.stringify(found));
  else printForPeople(found, terminal.out);
  return found.processes[0]?.pid === null ? exitCode.notRunning : exitCode.done;
}

async function gather(folder: DataFolder, external: boolean): Promise<Status> {
  const server = findBackground(serverPart(folder));
  const agent = findBackground(agentPart(folder));
  const postgres = findPostmaster({ folder: clusterFolderOf(folder.path) });
  const file = readServerFile(folder, server);
  const known = file && (await inventory(new ApiClient(file.url, readAdminToken(folder)), ownHostId(folder)));
  return {
    url: file?.url ?? null,
    metricsUrl: file?.metricsUrl ?? null,
    enrolUrl: file?.enrolUrl ?? null,
    dataDir: folder.path,
    accel: known?.accel ?? null,
    simulated: isSimulated(folder),
    processes: [
      part('server', server?.pid, file !== undefined),
      part('agent', agent?.pid, true),
      external && !postgres
        ? { name: 'postgres', pid: null, state: 'external' }
        : part('postgres', postgres?.process.pid, postgres?.ready === true),
    ],
    domains: known?.domains ?? [],
  };
}

function part(name: PartStatus['name'], pid: number | undefined, ready: boolean): PartStatus {
  if (pid === undefined) return { name, pid: null, state: 'stopped' };
  return { name, pid, state: ready ? 'running' : 'starting' };
}

/** Undefined when the server does not answer: the processes are told all the same. */
async function inventory(
  client: ApiClient,
  own: string | undefined,
): Promise<{ accel: string | null; domains: DomainStatus[] } | undefined> {
  try {
    const [hosts, domains] = await Promise.all([
      client.list<{ id: string; hypervisor: { accelerator: string | null } | null }>('/v1/hosts'),
      client.list<DomainStatus>('/v1/domains'),
    ]);
    return {
      accel: (hosts.find(({ id }) => id === own) ?? hosts[0])?.hypervisor?.accelerator ?? null,
      domains: domains.map(({ id, name, state, pid }) => ({ id, name, state, pid: pid ?? null })),
    };
  } catch {
    return undefined;
  }
}

function printForPeople(found: Status, out: (line: string) => void): void {
  out(found.url === null ? `not running  ${found.dataDir}` : `${found.url}  ${found.dataDir}`);
  if (found.simulated) out('simulated hosts');
  else if (found.accel !== null) out(`accelerator ${found.accel}`);
  for (const { name, pid, state } of found.processes) {
    out(`  ${name.padEnd(10)}${state.padEnd(10)}${pid ?? ''}`.trimEnd());
  }
  if (found.domains.length > 0) out('domains');
  for (const { id, name, state, pid } of found.domains) {
    out(`  ${id}  ${state.padEnd(10)}${String(pid ?? '').padEnd(9)}${name}`);
  }
}
