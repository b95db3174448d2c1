import { statSync } from 'node:fs';

/**
 * Where systemd rules the machine, a guest's process gets a scope of its own: otherwise systemd would end it together with
 * the agent's unit. The pid stays: systemd-run turns into the program.
 */
export function inScope(unit: string, command: string, args: readonly string[]): [string, string[]] {
  const options = ['--scope', '--quiet', '--collect', `--unit=${unit}`, '--slice=domus.slice'];
  return ['systemd-run', [...options, '--', command, ...args]];
}

/** systemd's own test for whether it is process 1 (sd_booted). */
export function systemdRules(): boolean {
  return (
    process.getuid?.() === 0 &&
    (statSync('/run/systemd/system', { throwIfNoEntry: false })?.isDirectory() ?? false)
  );
}
