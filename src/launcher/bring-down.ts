import { ApiClient, type Operation } from './api-client.js';
import type { DataFolder } from './data-folder.js';
import { agentPart, openClient, serverPart } from './installation.js';
import { clusterFolderOf } from './postgres/embedded.js';
import { stopPostgres } from './postgres/supervisor.js';
import { type BackgroundPart, findBackground, forgetBackground } from './process/background.js';
import { endProcess } from './process/process-table.js';

const stopDeadlineMs = 15_000;
const guestDeadlineSeconds = 30;

/** Ends server, agent and PostgreSQL, the last after those that use it. Guests are not touched. True if anything ran. */
export async function bringDown(folder: DataFolder): Promise<boolean> {
  const [server, agent] = await Promise.all([serverPart(folder), agentPart(folder)].map(end));
  const postgres = await stopPostgres({ folder: clusterFolderOf(folder.path) });
  return server === true || agent === true || postgres;
}

async function end(part: BackgroundPart): Promise<boolean> {
  const running = findBackground(part);
  if (running) await endProcess(running, 'SIGTERM', stopDeadlineMs);
  forgetBackground(part);
  return running !== undefined;
}

/** Asks every guest to shut down and ends by force what has not after 30 s. Says how many there were. */
export async function shutDownGuests(folder: DataFolder): Promise<number> {
  const client = openClient(folder);
  const domains = await client.list<{ id: string; state: string }>('/v1/domains');
  const alive = domains.filter(({ state }) => ['running', 'paused', 'crashed', 'unknown'].includes(state));
  await Promise.all(alive.map(({ id, state }) => shutDown(client, id, state)));
  return alive.length;
}

async function shutDown(client: ApiClient, id: string, state: string): Promise<void> {
  const force = () => client.complete(`/v1/domains/${id}/force-off`, {}, 30_000);
  if (state !== 'running') return void (await force());
  try {
    const body = { deadlineSeconds: guestDeadlineSeconds, force: true };
    const started = await client.post<Operation>(`/v1/domains/${id}/shutdown`, body);
    await client.settled(started, (guestDeadlineSeconds + 15) * 1_000);
  } catch {
    // Busy with something else, or the operation failed: the caller asked for the end of every guest.
    await force();
  }
}
