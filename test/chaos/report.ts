import { type ChaosOutcome } from './chaos-run.js';
import { type ClientEntry, type OperationRow } from './history.js';
import { cancelDurations } from './check-bounds.js';
import { convergences } from './check-convergence.js';
import { type Violation } from './history-checker.js';
import { type QemuChaosOutcome } from './real-guests/qemu-run.js';

/** What a person wants to know of a run. */
export function report(outcome: ChaosOutcome): string {
  const { settings, history, violations, kills, refusals } = outcome;
  const { operations } = history.inventory;
  const acked = new Set(
    history.clients.flatMap((one) => (one.kind === 'answer' && one.operationId ? [one.operationId] : [])),
  );
  const seconds = (ms: number) => `${(ms / 1_000).toFixed(1)} s`;
  const lost = history.clients.filter(({ kind }) => kind === 'lost').length;
  const killed = [...kills.values()].reduce((sum, count) => sum + count, 0);
  return [
    `seed ${settings.seed}, queue ${settings.queue}, ${settings.hosts} hosts: ${acked.size} operations acknowledged in ` +
      `${seconds(outcome.loadMs)}, ${killed} kills, calm after ${seconds(outcome.calmMs)}`,
    '',
    'kills',
    ...table([...kills.entries()].map(([what, count]) => [what, String(count)])),
    `  back after ${spread(outcome.recoveryMs)}; answers lost: ${lost}; event stream resumed ${outcome.streamBreaks} times`,
    '',
    'operations',
    ...table(outcomes(operations)),
    `  from acceptance to end: undisturbed ${spread(durations(operations, history.clients, false))}`,
    `                          beside a kill ${spread(durations(operations, history.clients, true))}`,
    '',
    'refusals',
    `  ${outcome.crowd.accepted} accepted of a crowd, which was told ${outcome.crowd.refused} times to come again later`,
    ...table(
      [...refusals.entries()].sort(([, a], [, b]) => b - a).map(([code, count]) => [code, String(count)]),
    ),
    '',
    `observed`,
    `  ${history.effects.length} effects, ${history.journals.length} lines of journals, ${history.refusals.length} late calls refused, ` +
      `${history.events.length} events, ${history.tables.filter(({ table }) => table !== 'operation').length} claims and locks that came or went`,
    `  the inventory heard of what happened behind its back after ${spread(convergences(history).map(({ calmMs }) => calmMs))}`,
    `  cancelled operations ended after ${spread(cancelDurations(history))}`,
    `  this process got no time for ${spread(stallsOf(history.clients))}`,
    '',
    ...verdict(violations),
  ].join('\n');
}

const stallsOf = (clients: readonly ClientEntry[]): number[] =>
  clients.flatMap((one) => (one.kind === 'stall' ? [one.ms] : []));

/** The first of them, each with the piece of history that shows it. */
const verdict = (violations: readonly Violation[]): string[] =>
  violations.length === 0
    ? ['violations: none']
    : [
        `violations: ${violations.length}`,
        ...violations
          .slice(0, 20)
          .flatMap(({ invariant, what, evidence }) => [
            `  ${invariant}: ${what}`,
            ...evidence.slice(0, 8).map((one) => `      ${JSON.stringify(one)}`.slice(0, 700)),
          ]),
      ];

export const qemuReport = (outcome: QemuChaosOutcome): string =>
  [
    `${outcome.ticks.length} guests that nobody touched have counted ${outcome.ticks.join(', ')} seconds each`,
    `an agent was back with its guests after ${spread(outcome.agentBackMs)}`,
    report(outcome),
  ].join('\n');

const table = (rows: readonly (readonly string[])[]): string[] => {
  const width = Math.max(0, ...rows.map(([name]) => name?.length ?? 0));
  return rows.map(([name, ...rest]) => `  ${(name ?? '').padEnd(width)}  ${rest.join('  ')}`);
};

function outcomes(operations: readonly OperationRow[]): string[][] {
  const kinds = Map.groupBy(operations, ({ kind }) => kind);
  return [...kinds.entries()].sort().map(([kind, rows]) => {
    const states = Map.groupBy(rows, ({ state, errorCode }) =>
      state === 'succeeded' ? state : `${state} (${errorCode ?? 'no reason'})`,
    );
    const words = [...states.entries()]
      .sort(([, a], [, b]) => b.length - a.length)
      .map(([state, list]) => `${list.length} ${state}`);
    return [kind, words.join(', ')];
  });
}

/** How long after a kill its traces are looked for. */
const SHADOW_MS = 5_000;

function durations(
  operations: readonly OperationRow[],
  clients: readonly ClientEntry[],
  disturbed: boolean,
): number[] {
  const faults = clients.flatMap((one) => (one.kind === 'fault' && one.what !== 'guest' ? [one.at] : []));
  return operations.flatMap(({ createdAt, endedAt }) => {
    if (endedAt === null) return [];
    const beside = faults.some((at) => at <= endedAt && at + SHADOW_MS >= createdAt);
    return beside === disturbed ? [endedAt - createdAt] : [];
  });
}

export function spread(samples: readonly number[]): string {
  if (samples.length === 0) return '–';
  const sorted = [...samples].sort((a, b) => a - b);
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
  const ms = (value: number) =>
    value >= 1_000 ? `${(value / 1_000).toFixed(1)} s` : `${value.toFixed(0)} ms`;
  return `p50 ${ms(at(0.5))}, p99 ${ms(at(0.99))}, most ${ms(at(1))} (${sorted.length})`;
}
