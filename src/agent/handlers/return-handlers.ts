import { beginReturn, destroyOvertaken, type ObservedDomain, takeEpoch } from '../../agent-contract/index.js';
import { type HypervisorDriver } from '../../hypervisor-driver/driver.js';
import { type Logger } from '../../kernel/logging/logger.js';
import { handle, type Handlers } from '../bound-call.js';
import { type VolumeUses } from '../volume-uses.js';

export interface ReturnParts {
  readonly driver: HypervisorDriver;
  readonly uses: VolumeUses;
  readonly log: Logger;
  /** Sees to it that this agent has a certificate for the newest epoch of its host, and answers with its epoch. */
  readonly takeEpoch: () => Promise<number>;
}

type ReturnCall = 'beginReturn' | 'destroyOvertaken' | 'takeEpoch';

/** How this host comes back after it was declared dead. What may live on is the server's to say: the agent keeps no inventory. */
export function returnHandlers({
  driver,
  uses,
  log,
  takeEpoch: take,
}: ReturnParts): Pick<Handlers, ReturnCall> {
  const turn = () => 'return';
  return {
    beginReturn: handle(
      beginReturn,
      async (_input, { olderEpochIsOver }) => {
        await olderEpochIsOver();
        const living = (await driver.list()).filter(lives);
        log.warn({ audit: 'host.return_began', living: living.length }, 'this host was declared dead');
        return { guests: living.map((guest) => ({ ...guest, volumes: uses.of(guest.id) })) };
      },
      { turn },
    ),

    destroyOvertaken: handle(
      destroyOvertaken,
      async ({ guests }) => {
        // Side by side: each second that one of them lives is a second in which its disk may have two writers.
        await Promise.all(
          guests.map(async ({ domainId, generation }) => {
            const found = await driver.inspect(domainId);
            if (!found || found.generation > generation) return;
            await driver.forceOff(domainId);
            const left = await driver.inspect(domainId);
            if (left && lives(left) && left.generation <= generation)
              throw new Error(`Guest ${domainId} lives on though it was ended.`);
            log.warn(
              { audit: 'domain.overtaken_guest_destroyed', domainId, generation: found.generation },
              'a guest was destroyed whose generation has moved on',
            );
          }),
        );
        return {};
      },
      { turn },
    ),

    takeEpoch: handle(takeEpoch, async () => ({ hostEpoch: await take() }), { turn }),
  };
}

const lives = ({ state }: ObservedDomain): boolean => state !== 'halted' && state !== 'crashed';
