import { readFile } from 'node:fs/promises';
import { arch, availableParallelism, totalmem } from 'node:os';
import { type HostFacts, unnamedControlDomain } from '../../agent-contract/index.js';
import { type ControlDomainSize } from '../../hypervisor-driver/driver.js';

/** What of the facts the machine says, not the hypervisor. */
export type Machine = Pick<
  HostFacts,
  | 'bootId'
  | 'architecture'
  | 'cpuCount'
  | 'memoryBytes'
  | 'reservedMemoryBytes'
  | 'controlDomain'
  | 'simulated'
>;

const MIB = 1024 * 1024;

/** Memory that the machine keeps for itself: a sixteenth, at least 256 MiB, at most 8 GiB. */
const reserved = (memoryBytes: number): number =>
  Math.min(Math.max(Math.floor(memoryBytes / 16), 256 * MIB), 8192 * MIB, memoryBytes);

/** Reads the machine that this process runs on; inside a container with a memory limit, that limit counts. */
export async function readMachine(): Promise<Machine> {
  const bootId = await readFile('/proc/sys/kernel/random/boot_id', 'utf8');
  const limit = process.constrainedMemory();
  const memoryBytes = limit > 0 ? Math.min(limit, totalmem()) : totalmem();
  return {
    bootId: bootId.trim(),
    architecture: arch() === 'x64' ? 'x86_64' : arch() === 'arm64' ? 'aarch64' : arch(),
    cpuCount: availableParallelism(),
    memoryBytes,
    reservedMemoryBytes: reserved(memoryBytes),
    controlDomain: null,
    simulated: false,
  };
}

/** With which a control domain that is only played begins. */
export const simulatedControlDomain: ControlDomainSize = { memoryBytes: 1024 * MIB, vcpus: 4 };

/**
 * A machine that is only played: big enough for a few hundred guests, and booted when the process was. With a control domain
 * where it plays one of Xen's.
 */
export const simulatedMachine = (bootId: string, control: ControlDomainSize | null = null): Machine => ({
  bootId,
  architecture: 'x86_64',
  cpuCount: 64,
  memoryBytes: 256 * 1024 * MIB,
  reservedMemoryBytes: 3 * 1024 * MIB + (control ?? simulatedControlDomain).memoryBytes,
  controlDomain: control && { id: unnamedControlDomain, ...control },
  simulated: true,
});
