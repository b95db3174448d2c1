import { renameSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { verifyBackup } from '../backup/backup-file.js';
import { importDatabase } from '../backup/database-copy.js';
import { withDatabase } from '../backup/with-database.js';
import type { Command, CommandContext } from '../command.js';
import { prepareDataFolder } from '../data-folder.js';
import { withDataLock } from '../data-lock.js';
import { agentPart, serverPart } from '../installation.js';
import { exitCode, failed } from '../launcher-error.js';
import { findBackground } from '../process/background.js';

/** The whole file is held to its checksum before anything is changed; the rows come in one transaction. */
export async function restore(
  command: Extract<Command, { name: 'restore' }>,
  { config, terminal }: CommandContext,
): Promise<number> {
  const file = resolve(command.file);
  const header = await verifyBackup(file);
  const folder = prepareDataFolder(command.data);
  await withDataLock(folder, terminal.note, async () => {
    const running = [serverPart(folder), agentPart(folder)].find((part) => findBackground(part));
    if (running) throw failed(`The ${running.name} runs on ${folder.path}: "domus down" first.`);
    const draft = `${folder.secretKeyFile}.restored`;
    writeFileSync(draft, Buffer.from(header.secretKey, 'base64'), { mode: 0o600, flush: true });
    const { rows } = await withDatabase(folder, config, (url) =>
      importDatabase(url, file, header, { force: command.force }),
    );
    renameSync(draft, folder.secretKeyFile);
    terminal.out(`restored: ${rows} rows as of ${header.at}`);
  });
  return exitCode.done;
}
