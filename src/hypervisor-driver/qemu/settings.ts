import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { systemdRules } from '../shared/systemd.js';
import { type QemuMachine } from './command-line.js';

/** Everything that the QEMU driver takes from outside. */
export interface QemuDriverOptions {
  /** Absolute; one folder per domain is kept below it. */
  readonly domainsDir: string;
  /** Absolute, short and 0700: QEMU's sockets. A socket's path may have 107 bytes. */
  readonly runtimeDir: string;
  /** As `decideAccelerator` found it. */
  readonly accelerator: 'kvm' | 'tcg';
  /** A path, or a name on PATH. Default: QEMU's name for this machine's processor. */
  readonly binary?: string;
  readonly now?: () => Date;
  /** Told of what should not have happened and stopped nothing; for the log. */
  readonly onFault?: (error: unknown, domainId: string) => void;
  /** Whether guests get systemd scopes. Default: systemd is process 1, and we are root. */
  readonly systemd?: boolean;
  /** Default: this boot's. */
  readonly bootId?: string;
}

export interface QemuSettings {
  readonly domainsDir: string;
  readonly binary: string;
  readonly machine: QemuMachine;
  readonly systemd: boolean;
  readonly bootId: string;
  readonly now: () => Date;
  readonly onFault: (error: unknown, domainId: string) => void;
  socketPath(domainId: string, role: string): string;
}

const SOCKET_PATH_BYTES = 107;

export function qemuArchitecture(processor: string = process.arch): QemuMachine['architecture'] {
  if (processor === 'x64') return 'x86_64';
  if (processor === 'arm64') return 'aarch64';
  throw new Error(`Domus runs QEMU on x64 and arm64, not on ${processor}.`);
}

export const qemuBinaryName = (processor?: string): string => `qemu-system-${qemuArchitecture(processor)}`;

export function settle(options: QemuDriverOptions): QemuSettings {
  const socketPath = (domainId: string, role: string) => {
    const path = join(options.runtimeDir, `${domainId}.${role}`);
    if (Buffer.byteLength(path) > SOCKET_PATH_BYTES) {
      throw new Error(`The runtime folder's path is too long for sockets: ${options.runtimeDir}`);
    }
    return path;
  };
  socketPath('00000000-0000-0000-0000-000000000000', 'qmp');
  return {
    domainsDir: options.domainsDir,
    binary: options.binary ?? qemuBinaryName(),
    machine: { architecture: qemuArchitecture(), accelerator: options.accelerator, sandbox: true },
    systemd: options.systemd ?? systemdRules(),
    bootId: options.bootId ?? readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim(),
    now: options.now ?? (() => new Date()),
    onFault: options.onFault ?? (() => undefined),
    socketPath,
  };
}
