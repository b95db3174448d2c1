import type { Command, CommandContext } from '../command.js';
import { exitCode } from '../launcher-error.js';
import { ensureQemu } from '../qemu-packages.js';
import { runWorkshop } from '../run-workshop.js';

/** Builds `test/lab/`, which is no part of the product's build, and hands over to it. */
export async function lab(
  { action, data, xen, plain, systemd, json }: Extract<Command, { name: 'lab' }>,
  { config, terminal }: CommandContext,
): Promise<number> {
  if (action === 'up') await ensureQemu(config, terminal.note);
  const counts = action === 'up' ? ['--xen', String(xen), '--plain', String(plain)] : [];
  const flags = [systemd ? '--systemd' : '', json ? '--json' : ''].filter((word) => word !== '');
  const words = [action, '--data', data, ...counts, ...flags];
  return (await runWorkshop(['test', 'lab'], words, config.environment)) ?? exitCode.failed;
}
