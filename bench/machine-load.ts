import { readFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';

/** Clock ticks since the machine started, over all cores. */
export interface CpuTicks {
  readonly busy: number;
  readonly total: number;
}

/** The first line of /proc/stat. Time that another guest of our own host took (steal) counts as busy: we did not have it. */
export function parseCpuTicks(stat: string): CpuTicks {
  const fields = /^cpu\s+(.*)$/m.exec(stat)?.[1]?.trim().split(/\s+/).map(Number);
  const [user, nice, system, idle, iowait, irq, softirq, steal] = fields ?? [];
  if (idle === undefined || steal === undefined) throw new Error('/proc/stat has no cpu line.');
  const busy = [user, nice, system, irq, softirq, steal].reduce<number>((sum, each) => sum + (each ?? 0), 0);
  return { busy, total: busy + idle + (iowait ?? 0) };
}

/** How many cores were busy between two looks. */
export function busyCores(before: CpuTicks, after: CpuTicks, cores: number): number {
  const total = after.total - before.total;
  return total <= 0 ? 0 : ((after.busy - before.busy) / total) * cores;
}

/** From here on the figures are doubtful. */
export const loadedFrom = 0.3;

/** How many cores others use, looked at while nothing of the benchmark runs. */
export async function othersLoad(milliseconds = 2_000): Promise<number> {
  const look = () => parseCpuTicks(readFileSync('/proc/stat', 'utf8'));
  const before = look();
  await sleep(milliseconds);
  return busyCores(before, look(), cpus().length);
}

export function machineName(): string {
  const all = cpus();
  return `${all.length} × ${all[0]?.model.trim() ?? 'unknown'}`;
}
