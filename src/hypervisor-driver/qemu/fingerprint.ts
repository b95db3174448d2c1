import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { type Capability } from '../../agent-contract/index.js';
import { type Fingerprint } from '../driver.js';
import { type QemuSettings } from './settings.js';

const run = promisify(execFile);

/** The version in what `qemu-system-… --version` prints. */
export function parseQemuVersion(text: string): string {
  const version = /^QEMU emulator version (\d+\.\d+\.\d+)/m.exec(text)?.[1];
  if (version === undefined) throw new Error(`This is no QEMU: ${text.slice(0, 200)}`);
  return version;
}

/** Asks the program itself. Rejects with one sentence when it is not there. */
export async function qemuVersion(binary: string): Promise<string> {
  const { stdout } = await run(binary, ['--version'], { timeout: 10_000 }).catch((error: unknown) => {
    throw new Error(`${binary} does not run on this machine.`, { cause: error });
  });
  return parseQemuVersion(stdout);
}

/** Whether this QEMU was built with seccomp: one that was not refuses the option before it prints its version. */
export async function hasSandbox(binary: string): Promise<boolean> {
  return run(binary, ['-sandbox', 'on', '--version'], { timeout: 10_000 }).then(
    () => true,
    () => false,
  );
}

export async function qemuFingerprint({ binary, machine }: QemuSettings): Promise<Fingerprint> {
  const supported = (name: string): Capability => ({ name, support: 'supported' });
  return {
    hypervisor: { kind: 'qemu', version: await qemuVersion(binary), accelerator: machine.accelerator },
    capabilities: [
      ...(machine.architecture === 'x86_64' ? ['boot.bios'] : []),
      'boot.direct',
      'console.serial',
      'disk.qcow2',
      'disk.raw',
      'domain.pause',
      'domain.reset',
      'domain.shutdown',
      'network.user',
      'virtualization.hvm',
    ].map(supported),
  };
}
