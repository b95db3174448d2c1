import { existsSync } from 'node:fs';
import { bringDown, shutDownGuests } from '../bring-down.js';
import type { Command, CommandContext } from '../command.js';
import { dataFolder } from '../data-folder.js';
import { withDataLock } from '../data-lock.js';
import { openClient } from '../installation.js';
import { exitCode } from '../launcher-error.js';

/** What does not run is no failure: afterwards nothing runs, and that was asked for. */
export async function down(
  command: Extract<Command, { name: 'down' }>,
  { terminal }: CommandContext,
): Promise<number> {
  const folder = dataFolder(command.data);
  if (!existsSync(folder.run)) {
    terminal.note(`nothing runs on ${folder.path}.`);
    return exitCode.done;
  }
  return withDataLock(folder, terminal.note, async () => {
    if (command.guests) terminal.note(`guests shut down: ${await shutDownGuests(openClient(folder))}`);
    if (!(await bringDown(folder))) terminal.note(`nothing ran on ${folder.path}.`);
    return exitCode.done;
  });
}
