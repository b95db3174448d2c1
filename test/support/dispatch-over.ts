import { join } from 'node:path';
import { Dispatch } from '../../src/agent/dispatch.js';
import { Fencing } from '../../src/agent/fencing.js';
import { createHandlers } from '../../src/agent/handlers/handlers.js';
import { Inventory } from '../../src/agent/inventory/inventory.js';
import { simulatedMachine } from '../../src/agent/inventory/machine.js';
import { Journal } from '../../src/agent/journal/journal.js';
import { Turns } from '../../src/agent/turns.js';
import { VolumeUses } from '../../src/agent/volume-uses.js';
import { VolumeWatches } from '../../src/agent/volume-watches.js';
import { type FakeDriver } from '../../src/hypervisor-driver/fake/index.js';
import { createLogger } from '../../src/kernel/logging/logger.js';
import { type Backends } from '../../src/storage-backend/backends.js';

/** An agent's dispatch over a journal in `folder`, with all that a call goes through and no network. Made anew over the same folder: a restart. */
export async function dispatchOver(parts: {
  folder: string;
  driver: FakeDriver;
  backends: Backends;
  log: (line: string) => void;
  openFile?: Parameters<typeof Journal.open>[3];
}): Promise<{ dispatch: Dispatch; journal: Journal }> {
  const { folder, driver, backends, openFile } = parts;
  const fencing = new Fencing();
  const journal = await Journal.open(folder, fencing, Date.now, openFile);
  const machine = () => Promise.resolve(simulatedMachine('boot'));
  const inventory = new Inventory({ driver, backends, machine, heartbeatMs: 60_000, resyncMs: 60_000 });
  const uses = await VolumeUses.open(join(folder, 'uses'), driver);
  const log = createLogger({ name: 'test', level: 'debug' }, { write: (line: string) => parts.log(line) });
  const watches = new VolumeWatches(backends, () => undefined, log);
  const takeEpoch = () => Promise.resolve(1);
  const handlers = createHandlers({ driver, backends, uses, journal, inventory, watches, log, takeEpoch });
  return { dispatch: new Dispatch({ handlers, journal, fencing, turns: new Turns(), log }), journal };
}
