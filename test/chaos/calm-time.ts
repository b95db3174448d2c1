import { type ClientEntry } from './history.js';

/** From `from` to `to`, in which something was away. */
export interface Away {
  readonly what: string;
  readonly name: string;
  readonly from: number;
  readonly to: number;
}

/**
 * How long after it, by its own promise, a fault may still be felt: others take a dead worker's operations over within two
 * seconds; service is back five seconds after PostgreSQL is; a Redis that was emptied delays by five seconds.
 */
const FELT: Readonly<Record<string, { readonly fromItsBegin?: number; readonly fromItsEnd?: number }>> = {
  api: { fromItsBegin: 2_000 },
  worker: { fromItsBegin: 2_000 },
  redis: { fromItsBegin: 5_000 },
  flush: { fromItsBegin: 5_000 },
  agent: { fromItsEnd: 2_000 },
  postgres: { fromItsEnd: 5_000 },
};

/** The times in which a part was away or its return was still felt, as the history has them. A guest that was killed is no part. */
export function awayTimes(clients: readonly ClientEntry[]): Away[] {
  const healed = clients.filter((entry) => entry.kind === 'healed');
  const end = clients.at(-1)?.at ?? 0;
  return clients.flatMap((entry): Away[] => {
    if (entry.kind === 'stall')
      return [{ what: 'stall', name: 'observer', from: entry.at, to: entry.at + entry.ms }];
    if (entry.kind !== 'fault') return [];
    const felt = FELT[entry.what];
    if (!felt) return [];
    const { what, name, at: from } = entry;
    if (felt.fromItsBegin !== undefined) return [{ what, name, from, to: from + felt.fromItsBegin }];
    const back = healed.find((one) => one.what === what && one.name === name && one.at >= from);
    return [{ what, name, from, to: (back?.at ?? end) + (felt.fromItsEnd ?? 0) }];
  });
}

/** Of the time between two instants, how much nothing of this can explain. */
export function calmBetween(from: number, to: number, away: readonly Away[]): number {
  let calm = Math.max(0, to - from);
  let covered = from;
  for (const one of [...away].sort((a, b) => a.from - b.from)) {
    const [begin, end] = [Math.max(one.from, covered), Math.min(one.to, to)];
    if (end <= begin) continue;
    calm -= end - begin;
    covered = end;
  }
  return calm;
}
