import { type HostFacts } from '../../agent-contract/index.js';
import { type Dom0 } from './dom0.js';
import { Listing } from './listings.js';
import { Xl } from './xl.js';

const MEBIBYTE = 1 << 20;

/** What the machine has, by Xen's word: the control domain sees only its own part of it. */
export interface XenMachine {
  readonly cpuCount: number;
  readonly memoryBytes: number;
  /** The control domain's, and Xen's own: its heap, frame table, and what it needs beside each guest's memory. */
  readonly reservedMemoryBytes: number;
  readonly controlDomain: NonNullable<HostFacts['controlDomain']>;
}

/** Xen's own part: a thirty-second, at least 96 MiB. */
const xenKeeps = (memoryBytes: number): number => Math.max(Math.floor(memoryBytes / 32), 96 * MEBIBYTE);

export async function xenMachine(dom0: Pick<Dom0, 'xl'>): Promise<XenMachine> {
  const xl = new Xl(dom0);
  const [info, domains] = [await xl.info(), await xl.list()];
  const control = new Listing(0, domains).controlDomain;
  if (!control) throw new Error('xl lists no domain 0.');
  const reserved = control.memoryMib * MEBIBYTE + xenKeeps(info.memoryBytes);
  return {
    cpuCount: info.cpuCount,
    memoryBytes: info.memoryBytes,
    reservedMemoryBytes: Math.min(reserved, info.memoryBytes),
    controlDomain: {
      id: control.uuid,
      memoryBytes: control.memoryMib * MEBIBYTE,
      vcpus: control.vcpus,
    },
  };
}
