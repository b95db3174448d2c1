import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import type { Environment } from '../config/read-config.js';
import { failed } from './launcher-error.js';
import { projectRoot } from './project-root.js';

/**
 * Builds a folder that is no part of the product's build (it has a tsconfig.json of its own) and runs its `main`. The answer
 * is its exit code; null when it was ended by a signal. Who ends us alone means it as well.
 */
export async function runWorkshop(
  folder: readonly string[],
  words: readonly string[],
  environment: Environment,
): Promise<number | null> {
  const run = async (...args: string[]): Promise<number | null> => {
    const child = spawn(process.execPath, args, {
      cwd: projectRoot,
      env: { ...environment },
      stdio: ['ignore', 'inherit', 'inherit'],
    });
    const end = () => void child.kill('SIGTERM');
    for (const name of ['SIGTERM', 'SIGHUP'] as const) process.once(name, end);
    const [code] = (await once(child, 'exit')) as [number | null];
    for (const name of ['SIGTERM', 'SIGHUP'] as const) process.off(name, end);
    return code;
  };
  const compiler = join(projectRoot, 'node_modules', 'typescript', 'bin', 'tsc');
  if ((await run(compiler, '-p', join(projectRoot, ...folder))) !== 0)
    throw failed(`${folder.join('/')} does not build.`);
  return run('--enable-source-maps', join(projectRoot, 'dist', ...folder, 'main.js'), ...words);
}
