import { setTimeout as delay } from 'node:timers/promises';
import { bringDown } from '../bring-down.js';
import { bringUp } from '../bring-up.js';
import type { Command, CommandContext } from '../command.js';
import { type DataFolder, prepareDataFolder, settleMode } from '../data-folder.js';
import { withDataLock } from '../data-lock.js';
import { obtainBootKit, runDemo } from '../demo.js';
import { agentPart, clusterOf, serverPart } from '../installation.js';
import { exitCode } from '../launcher-error.js';
import { type Cluster } from '../postgres/cluster.js';
import { clusterFolderOf } from '../postgres/embedded.js';
import { findPostmaster, startPostgres } from '../postgres/supervisor.js';
import { findBackground } from '../process/background.js';
import { ensureQemu } from '../qemu-packages.js';

/** Starts what is missing, says where it is, and in the foreground stays until Ctrl-C. */
export async function up(
  command: Extract<Command, { name: 'up' }>,
  { config, terminal }: CommandContext,
): Promise<number> {
  if (!command.simulate) await ensureQemu(config, terminal.note);
  const folder = prepareDataFolder(command.data);
  settleMode(folder, command.simulate);
  const interrupted = command.detach ? undefined : interruption();
  // Downloaded while the rest starts, and there before the agent: it asks a kernel whether KVM is more than a promise.
  const kit = command.demo && !command.simulate ? obtainBootKit(folder, config) : undefined;
  kit?.catch(() => undefined);
  const { client, server } = await withDataLock(folder, terminal.note, () =>
    bringUp({
      folder,
      config,
      port: command.port,
      simulate: command.simulate,
      note: terminal.note,
      beforeAgent: kit,
    }),
  );
  if (command.portGiven && command.port !== 0 && new URL(server.url).port !== String(command.port)) {
    terminal.note(`the server runs already, on ${server.url}; "domus down" first to move it.`);
  }
  terminal.out(`ready: ${server.url} token: ${folder.adminTokenFile}`);
  if (command.demo) {
    const shown = runDemo({ folder, client, kit: (await kit) ?? null });
    const demo = await (interrupted ? Promise.race([shown, interrupted]) : shown);
    if (demo) terminal.out(`demo: domain ${demo.domainId} prompt after ${demo.seconds} s`);
    // Whatever it still waits for after a Ctrl-C is about to end.
    shown.catch(() => undefined);
  }
  if (!interrupted) return exitCode.done;
  const cluster = config.databaseUrl === undefined ? clusterOf(folder, config) : undefined;
  await Promise.race([interrupted, allEnded(folder, cluster, terminal.note)]);
  await withDataLock(folder, terminal.note, () => bringDown(folder));
  return exitCode.done;
}

/** Settles at the first Ctrl-C, and also when the terminal goes away. A second one ends the command where it stands. */
function interruption(): Promise<void> {
  return new Promise((resolve) => {
    for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(name, () => resolve());
  });
}

/**
 * Somebody said `down` elsewhere: there is nothing left to wait for. A PostgreSQL that ended alone, as it does when its disk has
 * no room for its log, is started again as soon as it can be; any other part that died alone is left to the next `up`.
 */
async function allEnded(
  folder: DataFolder,
  cluster: Cluster | undefined,
  note: (line: string) => void,
): Promise<void> {
  const serves = () => findBackground(serverPart(folder)) !== undefined;
  const stores = () =>
    cluster !== undefined && findPostmaster({ folder: clusterFolderOf(folder.path) }) !== undefined;
  let said = false;
  while (serves() || findBackground(agentPart(folder)) !== undefined || stores()) {
    if (cluster && serves() && !stores()) {
      try {
        // Looked at again under the lock: whoever held it may have been `down`.
        await withDataLock(folder, note, async () => {
          if (serves() && !stores()) await startPostgres(cluster);
        });
        said = false;
      } catch (error) {
        if (!said) note(`PostgreSQL has ended and does not start yet: ${String(error)}`);
        said = true;
      }
    }
    await delay(1_000);
  }
}
