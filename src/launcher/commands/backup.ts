import { existsSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { writeBackup } from '../backup/backup-file.js';
import { exportDatabase } from '../backup/database-copy.js';
import { withDatabase } from '../backup/with-database.js';
import type { Command, CommandContext } from '../command.js';
import { dataFolder } from '../data-folder.js';
import { withDataLock } from '../data-lock.js';
import { exitCode, notRunning } from '../launcher-error.js';

/** Everything that the database holds, and the key that seals its secrets, in one file; Domus may run meanwhile. */
export async function backup(
  command: Extract<Command, { name: 'backup' }>,
  { config, terminal }: CommandContext,
): Promise<number> {
  const folder = dataFolder(command.data);
  if (!existsSync(folder.secretKeyFile)) throw notRunning(`There is no Domus in ${folder.path}.`);
  const file = resolve(command.file);
  const { rows } = await withDataLock(folder, terminal.note, () =>
    withDatabase(folder, config, (url) =>
      writeBackup(file, exportDatabase(url, readFileSync(folder.secretKeyFile))),
    ),
  );
  terminal.out(`backup: ${rows} rows in ${file}; keep it as secret as ${folder.path}`);
  return exitCode.done;
}
