import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import type { CommandContext } from '../command.js';
import { exitCode } from '../launcher-error.js';
import { projectRoot } from '../project-root.js';

/** Writes `openapi/` anew, from the code that was built. A process of its own: it loads the whole server. */
export async function openapi({ terminal }: CommandContext): Promise<number> {
  const program = join(projectRoot, 'dist', 'src', 'main.openapi.js');
  const folder = join(projectRoot, 'openapi');
  const child = spawn(process.execPath, [program, folder], { stdio: ['ignore', 'inherit', 'inherit'] });
  const [code] = (await once(child, 'exit')) as [number | null];
  if (code !== 0) return exitCode.failed;
  terminal.note('wrote openapi/');
  return exitCode.done;
}
