import { type ApiClient } from './api-client.js';
import type { DataFolder } from './data-folder.js';
import { agentPart, serverPart } from './installation.js';
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

interface Guest {
  readonly id: string;
  readonly state: string;
}

const lives = ({ state }: Guest): boolean => ['running', 'paused', 'unknown'].includes(state);

/** Asks every guest to shut down and ends by force what has not after 30 s. Says how many there were. */
export async function shutDownGuests(client: ApiClient): Promise<number> {
  const alive = (await client.list<Guest>('/v1/domains')).filter(lives);
  await Promise.all(alive.map((guest) => shutDown(client, guest)));
  return alive.length;
}

/** Somebody else may be at work on the domain, even shutting it down: each call takes its turn, and what counts is the end. */
async function shutDown(client: ApiClient, guest: Guest): Promise<void> {
  const verbs = [
    { path: 'shutdown', body: { deadlineSeconds: guestDeadlineSeconds, force: true } },
    { path: 'force-off', body: {} },
  ];
  let refusal: unknown;
  for (const { path, body } of guest.state === 'running' ? verbs : verbs.slice(1)) {
    try {
      const within = (guestDeadlineSeconds + 15) * 1_000;
      await client.complete(`/v1/domains/${guest.id}/${path}?onBusy=wait`, body, within);
      return;
    } catch (error) {
      if (!lives(await client.get<Guest>(`/v1/domains/${guest.id}`))) return;
      refusal = error;
    }
  }
  throw refusal;
}
