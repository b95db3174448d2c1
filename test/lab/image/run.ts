import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const execute = promisify(execFile);

/** Runs a tool of this machine to its end; an error says what the tool said. */
export async function runTool(
  tool: string,
  args: readonly string[],
  options: { signal?: AbortSignal; environment?: Record<string, string>; cwd?: string } = {},
): Promise<string> {
  const { signal, environment, cwd } = options;
  try {
    const { stdout } = await execute(tool, [...args], {
      signal,
      cwd,
      env: { ...process.env, ...environment, LC_ALL: 'C.UTF-8' },
      maxBuffer: 64 << 20,
      timeout: 600_000,
    });
    return stdout;
  } catch (error) {
    const said = typeof error === 'object' && error !== null && 'stderr' in error ? String(error.stderr) : '';
    throw new Error(`${tool} failed: ${said.trim().split('\n').slice(-5).join(' / ') || String(error)}`, {
      cause: error,
    });
  }
}
