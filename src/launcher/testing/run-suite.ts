import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Environment } from '../../config/read-config.js';
import { projectRoot } from '../project-root.js';
import { type JestReport, nothing, type Tally, tally } from './jest-report.js';
import type { Suite } from './suites.js';

/** Runs one suite in a process of its own; jest's words go to stderr. */
export async function runSuite(suite: Suite, environment: Environment): Promise<Tally> {
  const scratch = mkdtempSync(join(tmpdir(), 'domus-report-'));
  const reportFile = join(scratch, 'report.json');
  const jest = spawn(
    process.execPath,
    [
      '--experimental-vm-modules',
      '--no-warnings',
      join(projectRoot, 'node_modules', 'jest', 'bin', 'jest.js'),
      `--selectProjects=${suite.name}`,
      `--maxWorkers=${suite.workers}`,
      '--passWithNoTests',
      '--json',
      `--outputFile=${reportFile}`,
    ],
    { cwd: projectRoot, env: hermetic(environment), stdio: ['ignore', 'ignore', 'inherit'] },
  );
  const ended = once(jest, 'exit') as Promise<[number | null, NodeJS.Signals | null]>;
  // Ctrl-C reaches jest by itself; whoever ends us alone means jest as well.
  const end = () => void jest.kill('SIGTERM');
  for (const name of ['SIGTERM', 'SIGHUP'] as const) process.once(name, end);
  const overdue = setTimeout(() => jest.kill('SIGKILL'), suite.deadlineMinutes * 60_000);
  try {
    const [code, signal] = await ended;
    const found = readReport(reportFile);
    if (signal === 'SIGKILL') {
      return complain(found, `the suite ${suite.name} did not end within ${suite.deadlineMinutes} minutes`);
    }
    if (signal !== null) return complain(found, `the suite ${suite.name} was ended by ${signal}`);
    const silent = code !== 0 && found.failed === 0;
    return silent
      ? complain(found, `jest ended the suite ${suite.name} with ${code} and no failed test`)
      : found;
  } finally {
    clearTimeout(overdue);
    for (const name of ['SIGTERM', 'SIGHUP'] as const) process.off(name, end);
    rmSync(scratch, { recursive: true, force: true });
  }
}

function readReport(file: string): Tally {
  try {
    return tally(JSON.parse(readFileSync(file, 'utf8')) as JestReport);
  } catch {
    return nothing;
  }
}

function complain(found: Tally, complaint: string): Tally {
  return { ...found, failed: found.failed + 1, complaints: [...found.complaints, complaint] };
}

/** Tests bring their own databases, and never trust a KVM that may be there. */
function hermetic(environment: Environment): NodeJS.ProcessEnv {
  return { ...environment, DATABASE_URL: undefined, REDIS_URL: undefined, DOMUS_ACCEL: 'tcg' };
}
