import { readFileSync } from 'node:fs';
import { type Dom0 } from './dom0.js';

/** Everything that the Xen driver takes from outside. */
export interface XenDriverOptions {
  /** Absolute; one folder per domain is kept below it. */
  readonly domainsDir: string;
  readonly dom0: Dom0;
  readonly now?: () => Date;
  /** Told of what should not have happened and stopped nothing; for the log. */
  readonly onFault?: (error: unknown, domainId: string | null) => void;
  /** Default: this boot's. A new one means that Xen has booted too, and every guest is gone. */
  readonly bootId?: string;
  /** How often Xen is asked for what fires no watch (`xl pause` by hand). */
  readonly sweepEveryMs?: number;
}

export type XenSettings = Required<XenDriverOptions>;

const SWEEP_EVERY_MS = 15_000;

export const settle = (options: XenDriverOptions): XenSettings => ({
  domainsDir: options.domainsDir,
  dom0: options.dom0,
  now: options.now ?? (() => new Date()),
  onFault: options.onFault ?? (() => undefined),
  bootId: options.bootId ?? readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim(),
  sweepEveryMs: options.sweepEveryMs ?? SWEEP_EVERY_MS,
});
