import { readdirSync, readFileSync } from 'node:fs';

const ticksPerSecond = 100;

/** What of /proc/<pid>/stat is needed here. The name may hold spaces and parentheses: fields are counted from its end. */
export function parseProcessorTime(stat: string): { parent: number; milliseconds: number } {
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const [parent, user, system] = [fields[1], fields[11], fields[12]].map(Number);
  if (parent === undefined || user === undefined || !Number.isFinite(system ?? NaN))
    throw new Error('This is not a line of /proc/<pid>/stat.');
  return { parent, milliseconds: ((user + (system ?? 0)) * 1_000) / ticksPerSecond };
}

/** Milliseconds of processor time that a process and its children have used, those that have ended left out. */
export function processorTime(pid: number): number {
  let sum = 0;
  for (const name of readdirSync('/proc').filter((each) => /^\d+$/.test(each))) {
    const found = timeOf(Number(name));
    if (found && (Number(name) === pid || found.parent === pid)) sum += found.milliseconds;
  }
  return sum;
}

function timeOf(pid: number): ReturnType<typeof parseProcessorTime> | undefined {
  try {
    return parseProcessorTime(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return undefined; // it has just ended
  }
}
