import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { failed, missing } from '../launcher-error.js';
import { hasCode } from '../private-file.js';

/**
 * Runs `work` while nobody else holds the lock on `file`. The lock is held by a child that ends when our end of its
 * pipe closes, so that it goes with this process however that dies. `onWait` is called once if somebody holds it.
 */
export async function withLock<T>(
  file: string,
  options: { deadlineMs: number; onWait?: () => void },
  work: () => Promise<T>,
): Promise<T> {
  const holder = spawn('flock', ['--exclusive', file, 'cat'], { stdio: ['pipe', 'pipe', 'ignore'] });
  try {
    await new Promise((resolve, reject) => holder.once('spawn', resolve).once('error', reject));
  } catch (error) {
    if (hasCode(error, 'ENOENT'))
      throw missing('The program flock (util-linux) is missing.', { cause: error });
    throw error;
  }
  holder.stdin.on('error', () => undefined);
  try {
    // `cat` answers only once flock has let it start.
    const granted = once(holder.stdout, 'data').then(() => true);
    holder.stdin.write('\n');
    const soon = await Promise.race([granted, delay(500, false, { ref: false })]);
    if (!soon) {
      options.onWait?.();
      if (!(await Promise.race([granted, delay(options.deadlineMs, false, { ref: false })]))) {
        throw failed(`Another command has held ${file} for ${options.deadlineMs / 1_000} s.`);
      }
    }
    return await work();
  } finally {
    holder.stdin.end();
    holder.kill('SIGTERM');
  }
}
