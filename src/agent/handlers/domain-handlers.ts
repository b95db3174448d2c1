import { setTimeout as delay } from 'node:timers/promises';
import {
  askShutdown,
  awaitHalt,
  capabilityAbsent,
  domainBadState,
  forceOff,
  forgetDomain,
  hostDomainNotFound,
  inspectDomain,
  type ObservedDomain,
  pauseDomain,
  readDomainSpec,
  resetDomain,
  resumeDomain,
  startDomain,
} from '../../agent-contract/index.js';
import { type HypervisorDriver, resetsGuests } from '../../hypervisor-driver/driver.js';
import { callFenced } from '../../kernel/errors/problems.js';
import { type Backends } from '../../storage-backend/backends.js';
import { handle, type Handlers } from '../bound-call.js';
import { resolveDomain } from '../resolve.js';
import { type Overtaken } from '../turns.js';
import { type VolumeUses } from '../volume-uses.js';
import { awaitHaltOf } from './await-halt.js';

interface Target {
  domainId: string;
  generation: number;
}

export interface DomainParts {
  readonly driver: HypervisorDriver;
  readonly backends: Backends;
  readonly uses: VolumeUses;
  /** Told when the host has forgotten a domain, so that the state stream says so. */
  readonly onForgotten: (domainId: string) => void;
}

/** How long a force-off waits for the call that it overtook to let go. */
const OVERTAKEN_GRACE_MS = 5_000;

type DomainCall =
  | 'askShutdown'
  | 'awaitHalt'
  | 'forceOff'
  | 'forgetDomain'
  | 'inspectDomain'
  | 'pauseDomain'
  | 'readDomainSpec'
  | 'resetDomain'
  | 'resumeDomain'
  | 'startDomain';

export function domainHandlers(parts: DomainParts): Pick<Handlers, DomainCall> {
  const { driver, backends, uses } = parts;
  const ofTarget = { domain: ({ domainId, generation }: Target) => ({ id: domainId, generation }) };
  return {
    startDomain: handle(
      startDomain,
      async ({ spec }, { signal, wanted }) => {
        const runnable = await resolveDomain(spec, backends);
        await uses.begin(spec);
        signal.throwIfAborted();
        if (!wanted()) throw new Error('Nobody waits for this start any more; it was not begun.');
        return driver.start(runnable);
      },
      { domain: ({ spec }) => ({ id: spec.id, generation: spec.generation }) },
    ),

    askShutdown: handle(
      askShutdown,
      async (target) => {
        const { state } = await refuseOtherGeneration(driver, target);
        // Asked again by a server that lost the answer: the guest may have obeyed meanwhile.
        if (state !== 'halted' && state !== 'crashed') await driver.askShutdown(target.domainId);
        return {};
      },
      ofTarget,
    ),

    awaitHalt: handle(awaitHalt, (target, { signal }) => awaitHaltOf(driver, target, signal)),

    forceOff: handle(
      forceOff,
      async (target, { overtaken }) => {
        await driver.forceOff(target.domainId);
        if (overtaken) await endOvertaken(driver, target, overtaken);
        return {};
      },
      { ...ofTarget, overtakes: true },
    ),

    pauseDomain: handle(
      pauseDomain,
      async (target) => {
        await refuseOtherGeneration(driver, target);
        return driver.pause(target.domainId);
      },
      ofTarget,
    ),

    resumeDomain: handle(
      resumeDomain,
      async (target) => {
        await refuseOtherGeneration(driver, target);
        return driver.resume(target.domainId);
      },
      ofTarget,
    ),

    resetDomain: handle(
      resetDomain,
      async (target) => {
        if (!resetsGuests(driver)) throw capabilityAbsent('This hypervisor cannot reset a guest.');
        await refuseOtherGeneration(driver, target);
        return driver.reset(target.domainId);
      },
      { ...ofTarget, overtakes: true },
    ),

    forgetDomain: handle(
      forgetDomain,
      async ({ domainId }) => {
        await driver.forget(domainId);
        await uses.end(domainId);
        parts.onForgotten(domainId);
        return {};
      },
      ofTarget,
    ),

    inspectDomain: handle(inspectDomain, async ({ domainId }) => ({
      domain: await driver.inspect(domainId),
    })),

    readDomainSpec: handle(readDomainSpec, async ({ domainId }) => ({ spec: await driver.specOf(domainId) })),
  };
}

async function refuseOtherGeneration(driver: HypervisorDriver, target: Target): Promise<ObservedDomain> {
  const domain = await driver.inspect(target.domainId);
  if (!domain) throw hostDomainNotFound(`The host knows no domain ${target.domainId}.`);
  if (domain.generation > target.generation)
    throw callFenced(`The domain is at generation ${domain.generation}, the call at ${target.generation}.`);
  if (domain.generation < target.generation)
    throw domainBadState(`The host has the domain at generation ${domain.generation} only.`);
  return domain;
}

/**
 * A start that was overtaken half-way may still bring the guest up behind the force-off's back: once it has stopped,
 * the guest is ended again. One that hangs on is watched until it does.
 */
async function endOvertaken(driver: HypervisorDriver, target: Target, overtaken: Overtaken): Promise<void> {
  const again = async () => {
    const domain = await driver.inspect(target.domainId);
    if (domain && domain.generation <= target.generation) await driver.forceOff(target.domainId);
  };
  const stopped = overtaken.settled.then(() => true);
  const grace = new AbortController();
  const inTime = await Promise.race([
    stopped,
    delay(OVERTAKEN_GRACE_MS, false, { signal: grace.signal }).catch(() => false),
  ]);
  grace.abort();
  if (inTime) await again();
  else void stopped.then(again).catch(() => undefined);
}
