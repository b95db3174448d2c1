import { setTimeout as sleep } from 'node:timers/promises';
import { controlDomainRefused, controlDomainSlackBytes } from '../../agent-contract/index.js';
import { type ControlDomainChange, type ControlDomainSize } from '../driver.js';
import { Listing } from './listings.js';
import { type Xl } from './xl.js';
import { type XenDomain } from './xl-output.js';

const MEBIBYTE = 1 << 20;
const BESIDE_MIB = controlDomainSlackBytes / MEBIBYTE;
/** An emulated machine gives up some 100 MiB a second; one that is short of memory far less. Twice this, and the calls of xl, fit into the call. */
const FOLLOWS_WITHIN_MS = 20_000;
const LOOK_EVERY_MS = 250;

export interface AdjustParts {
  readonly xl: Pick<Xl, 'list' | 'setControlDomainMemory' | 'setControlDomainVcpus'>;
  /** Told of a former size that it did not take back. */
  readonly onFault: (error: unknown) => void;
  /** Waits; milliseconds. */
  readonly wait?: (ms: number) => Promise<unknown>;
  /** Milliseconds that only go forward. */
  readonly now?: () => number;
}

/** Sizes as Xen counts them; null: as it is. */
interface Wanted {
  readonly memoryMib: number | null;
  readonly vcpus: number | null;
}

/**
 * Gives domain 0 another size: Xen is told, and its kernel does it (xen-balloon, CPU hotplug), or does not. Throws
 * `host.control_domain_refused` where it does not, after Xen was told the former size again.
 */
export async function adjustControlDomain(
  parts: AdjustParts,
  to: ControlDomainChange,
): Promise<ControlDomainSize> {
  const before = await controlDomain(parts);
  const wanted: Wanted = {
    memoryMib: to.memoryBytes === null ? null : Math.ceil(to.memoryBytes / MEBIBYTE),
    vcpus: to.vcpus,
  };
  try {
    return await give(parts, wanted);
  } catch (error) {
    // What of it was done already is taken back; what was never told is told to be as it is.
    const former: Wanted = {
      memoryMib: wanted.memoryMib === null ? null : before.memoryMib,
      vcpus: wanted.vcpus === null ? null : before.vcpus,
    };
    await give(parts, former).catch(parts.onFault);
    throw error;
  }
}

async function give(parts: AdjustParts, wanted: Wanted): Promise<ControlDomainSize> {
  await tell(parts, wanted);
  return sizeOf(await untilItHas(parts, wanted));
}

async function tell({ xl }: AdjustParts, { memoryMib, vcpus }: Wanted): Promise<void> {
  const complaint =
    (memoryMib === null ? null : await xl.setControlDomainMemory(memoryMib)) ??
    (vcpus === null ? null : await xl.setControlDomainVcpus(vcpus));
  if (complaint !== null) throw controlDomainRefused(complaint);
}

async function untilItHas(parts: AdjustParts, wanted: Wanted): Promise<XenDomain> {
  const { wait = sleep, now: clock = () => performance.now() } = parts;
  // The calls of xl count: on a machine that is busy they take longer than the pauses between them.
  for (const until = clock() + FOLLOWS_WITHIN_MS; ;) {
    const now = await controlDomain(parts);
    if (has(now, wanted)) return now;
    if (clock() >= until)
      throw controlDomainRefused(
        `Its kernel did not follow within ${FOLLOWS_WITHIN_MS / 1_000} s: it has ${now.memoryMib} MiB and ${now.vcpus} vCPUs.`,
      );
    await wait(LOOK_EVERY_MS);
  }
}

const has = (now: XenDomain, { memoryMib, vcpus }: Wanted): boolean =>
  (memoryMib === null || Math.abs(now.memoryMib - memoryMib) <= BESIDE_MIB) &&
  (vcpus === null || now.vcpus === vcpus);

async function controlDomain({ xl }: AdjustParts): Promise<XenDomain> {
  const control = new Listing(0, await xl.list()).controlDomain;
  if (!control) throw new Error('xl lists no domain 0.');
  return control;
}

const sizeOf = ({ memoryMib, vcpus }: XenDomain): ControlDomainSize => ({
  memoryBytes: memoryMib * MEBIBYTE,
  vcpus,
});
