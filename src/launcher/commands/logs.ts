import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Command, CommandContext } from '../command.js';
import { dataFolder } from '../data-folder.js';
import { exitCode, notRunning } from '../launcher-error.js';

const lines = '200';

/** The end of one log, or of all; `-f` goes on with what is added. */
export async function logs(
  command: Extract<Command, { name: 'logs' }>,
  { config }: CommandContext,
): Promise<number> {
  const folder = dataFolder(command.data);
  const files = existsSync(folder.logs)
    ? readdirSync(folder.logs).filter((name) => name.endsWith('.log'))
    : [];
  const wanted = command.part === undefined ? files : files.filter((name) => name === `${command.part}.log`);
  if (wanted.length === 0) {
    throw notRunning(`There is no log${command.part ? ` of ${command.part}` : ''} in ${folder.logs}.`);
  }
  const paths = wanted.map((name) => join(folder.logs, name));
  const tail = spawn('tail', ['-n', lines, ...(command.follow ? ['-F'] : []), '--', ...paths], {
    stdio: 'inherit',
    env: { PATH: config.path },
  });
  // Ctrl-C reaches tail as well; its end is ours.
  process.once('SIGINT', () => undefined);
  const [code, signal] = (await once(tail, 'exit')) as [number | null, NodeJS.Signals | null];
  return code === 0 || signal !== null ? exitCode.done : exitCode.failed;
}
