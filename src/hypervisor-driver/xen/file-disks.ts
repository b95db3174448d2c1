import { setTimeout as sleep } from 'node:timers/promises';
import { domainStartFailed } from '../../agent-contract/index.js';
import { type Dom0 } from './dom0.js';
import { deviceComplaint } from './start-failure.js';
import { xenName } from './xl-config.js';
import { type XenstoreClient } from './xenstore/client.js';

const BACKENDS = '/local/domain/0/backend/qdisk';
/** XenbusStateInitialising: the backend has not been taken up. */
const NOT_TAKEN_UP = '1';
const TAKE_UP_MS = 20_000;
const LOOK_EVERY_MS = 100;

export interface FileDiskParts {
  readonly xenstore: Pick<XenstoreClient, 'read' | 'directory'>;
  readonly dom0: Pick<Dom0, 'deviceModelLog'>;
}

/**
 * Waits until every disk in a file has been opened by the QEMU that serves it. One that QEMU cannot open is no failure to xl:
 * the guest would run without it.
 */
export async function awaitFileDisks(
  domainId: string,
  count: number,
  { xenstore, dom0 }: FileDiskParts,
  signal: AbortSignal,
): Promise<void> {
  if (count === 0) return;
  const deadline = performance.now() + TAKE_UP_MS;
  for (;;) {
    const missing = count - (await takenUp(domainId, xenstore));
    if (missing <= 0) return;
    const complaint = deviceComplaint(await dom0.deviceModelLog(domainId));
    if (complaint !== null) throw domainStartFailed(complaint);
    if (performance.now() > deadline)
      throw domainStartFailed(`${missing} of its disks could not be opened within ${TAKE_UP_MS} ms.`);
    await sleep(LOOK_EVERY_MS, undefined, { signal }).catch(() => signal.throwIfAborted());
  }
}

async function takenUp(domainId: string, xenstore: FileDiskParts['xenstore']): Promise<number> {
  for (const domid of await xenstore.directory(BACKENDS)) {
    if ((await xenstore.read(`/local/domain/${domid}/name`)) !== xenName(domainId)) continue;
    const disks = await xenstore.directory(`${BACKENDS}/${domid}`);
    const states = await Promise.all(
      disks.map((disk) => xenstore.read(`${BACKENDS}/${domid}/${disk}/state`)),
    );
    return states.filter((state) => state !== null && state !== NOT_TAKEN_UP).length;
  }
  return 0;
}
