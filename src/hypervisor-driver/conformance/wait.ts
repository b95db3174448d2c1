import { type Duplex } from 'node:stream';
import { type ObservedDomain } from '../../agent-contract/index.js';
import { type HypervisorDriver, type RunnableDomain } from '../driver.js';
import { type ExaminedDriver } from './harness.js';

const PROMPT = '/ # ';

/** The next word on the domain that says `state`; what the driver says already counts. Rejects when the time is over. */
export async function untilState(
  driver: HypervisorDriver,
  domainId: string,
  state: ObservedDomain['state'],
  withinMs: number,
): Promise<ObservedDomain> {
  const heard = listenFor(driver, (domain) => domain.id === domainId && domain.state === state, withinMs);
  const now = await driver.inspect(domainId);
  if (now?.state === state) {
    heard.cancel();
    return now;
  }
  return heard.domain.catch(async () => {
    const last = await driver.inspect(domainId);
    throw new Error(`Domain is ${JSON.stringify(last)}, not ${state}, after ${withinMs} ms.`);
  });
}

/** The driver's own word that says `state`, which has to come within this time after `act` is done, unasked. */
export async function untilTold(
  driver: HypervisorDriver,
  domainId: string,
  state: ObservedDomain['state'],
  act: () => Promise<void>,
  withinMs: number,
): Promise<ObservedDomain> {
  const heard = listenFor(driver, (domain) => domain.id === domainId && domain.state === state, null);
  let timer: NodeJS.Timeout | undefined;
  try {
    await act();
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error(`Not told ${state} within ${withinMs} ms.`)), withinMs);
    });
    return await Promise.race([heard.domain, late]);
  } finally {
    clearTimeout(timer);
    heard.cancel();
  }
}

function listenFor(
  driver: HypervisorDriver,
  fits: (domain: ObservedDomain) => boolean,
  withinMs: number | null,
) {
  let cancel: () => void = () => undefined;
  const domain = new Promise<ObservedDomain>((resolve, reject) => {
    const over = () => {
      end();
      reject(new Error('The time is over.'));
    };
    const timer = withinMs === null ? undefined : setTimeout(over, withinMs);
    const end = driver.onChange((seen) => {
      if (!fits(seen)) return;
      cancel();
      resolve(seen);
    });
    cancel = () => {
      clearTimeout(timer);
      end();
    };
  });
  domain.catch(() => undefined);
  return { domain, cancel: () => cancel() };
}

/** Reads the console until `text` has come, and gives all that came. */
export function untilPrinted(console: Duplex, text: string, withinMs: number): Promise<string> {
  return new Promise((resolve, reject) => {
    let seen = '';
    const finish = (act: () => void) => {
      clearTimeout(timer);
      console.off('data', take);
      console.off('close', closed);
      act();
    };
    const take = (bytes: Buffer) => {
      seen += bytes.toString('utf8');
      if (seen.includes(text)) finish(() => resolve(seen));
    };
    const closed = () =>
      finish(() => reject(new Error(`The console closed before "${text}": ${seen.slice(-500)}`)));
    const timer = setTimeout(
      () => finish(() => reject(new Error(`No "${text}" within ${withinMs} ms: ${seen.slice(-500)}`))),
      withinMs,
    );
    console.on('data', take);
    console.once('close', closed);
  });
}

/** Settles when the console has ended or closed. */
export function untilEnded(console: Duplex, withinMs: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(
      () => reject(new Error(`The console did not end within ${withinMs} ms.`)),
      withinMs,
    );
    console.resume();
    console.once('close', () => {
      clearTimeout(timer);
      resolve();
    });
  });
}

/** Opens the guest's first console once its prompt is there, be it in the log already or still to come. */
export async function openAtPrompt(
  driver: ExaminedDriver,
  domain: RunnableDomain,
  withinMs: number,
): Promise<Duplex> {
  const consoleId = domain.consoles[0]?.id ?? '';
  const console = await driver.openConsole(domain.id, consoleId);
  const coming = untilPrinted(console, PROMPT, withinMs);
  coming.catch(() => undefined);
  const log = await driver.consoleLog(domain.id, consoleId, 100);
  if (!log.includes(PROMPT)) await coming;
  return console;
}
