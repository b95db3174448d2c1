import {
  adjustControlDomain,
  capabilityAbsent,
  fenceOperation,
  readConsoleLog,
  readFacts,
  releaseJournal,
  subscribeState,
} from '../../agent-contract/index.js';
import {
  adjustsControlDomain,
  type HypervisorDriver,
  type ServesSerialConsoles,
  servesSerialConsoles,
} from '../../hypervisor-driver/driver.js';
import { handle, type Handlers } from '../bound-call.js';
import { type Inventory } from '../inventory/inventory.js';
import { type Journal } from '../journal/journal.js';
import { domainHandlers, type DomainParts } from './domain-handlers.js';
import { type VolumeWatches } from '../volume-watches.js';
import { returnHandlers, type ReturnParts } from './return-handlers.js';
import { storageHandlers } from './storage-handlers.js';

interface Parts extends Omit<DomainParts, 'onForgotten'>, ReturnParts {
  readonly journal: Journal;
  readonly inventory: Inventory;
  readonly watches: VolumeWatches;
}

/** What this agent does for each call of the contract. */
export function createHandlers(parts: Parts): Handlers {
  const { driver, backends, uses, journal, inventory, watches } = parts;
  return {
    ...domainHandlers({ driver, backends, uses, onForgotten: (id) => inventory.forget(id) }),
    ...storageHandlers(backends, uses, watches),
    ...returnHandlers(parts),
    adjustControlDomain: handle(
      adjustControlDomain,
      async (to) => {
        if (!adjustsControlDomain(driver))
          throw capabilityAbsent(`The ${driver.kind} driver adjusts no control domain.`);
        await driver.adjustControlDomain(to);
        return inventory.refreshFacts();
      },
      { turn: () => 'control domain' },
    ),
    fenceOperation: handle(
      fenceOperation,
      async (_input, { olderAttemptIsOver }) => {
        await olderAttemptIsOver();
        return {};
      },
      { attempt: ({ attempt }) => attempt },
    ),
    readConsoleLog: handle(readConsoleLog, async ({ domainId, consoleId, tail }) => ({
      text: await serialConsoles(driver).consoleLog(domainId, consoleId, tail),
    })),
    readFacts: handle(readFacts, () => inventory.refreshFacts()),
    releaseJournal: handle(releaseJournal, async ({ operationIds }) => {
      await journal.release(operationIds);
      return {};
    }),
    subscribeState: handle(subscribeState, async (_input, { subscribe }) => {
      subscribe();
      return {};
    }),
  };
}

/** `capability.absent` when the driver's guests have no serial lines. */
export function serialConsoles(driver: HypervisorDriver): ServesSerialConsoles {
  if (servesSerialConsoles(driver)) return driver;
  throw capabilityAbsent(`The ${driver.kind} driver has no serial consoles.`);
}
