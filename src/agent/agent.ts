import { X509Certificate } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { heartbeatMs, resyncMs } from '../agent-contract/index.js';
import { type HypervisorDriver } from '../hypervisor-driver/driver.js';
import { isProblem } from '../kernel/errors/problem.js';
import { type Logger } from '../kernel/logging/logger.js';
import { type Backends } from '../storage-backend/backends.js';
import { Dispatch } from './dispatch.js';
import { enrol, ownAddressTowards, renew } from './enrolment/enrolment-client.js';
import { type HostRecord, IdentityFolder, type StoredIdentity } from './enrolment/identity.js';
import { type TokenFile } from './enrolment/token-file.js';
import { Fencing } from './fencing.js';
import { createHandlers, serialConsoles } from './handlers/handlers.js';
import { Inventory } from './inventory/inventory.js';
import { type Machine } from './inventory/machine.js';
import { Journal } from './journal/journal.js';
import { Listener } from './link/listener.js';
import { Turns } from './turns.js';
import { VolumeUses } from './volume-uses.js';
import { VolumeWatches } from './volume-watches.js';

export interface AgentSettings {
  /** The agent's own: identity, journal, uses. */
  readonly folder: string;
  readonly hostName: string;
  /** With port 0 any free one is taken once and then kept. */
  readonly listen: { readonly host: string; readonly port: number };
  /** Where the server dials it, if that is not where it listens. */
  readonly advertise?: { readonly host: string; readonly port: number } | undefined;
  readonly enrolUrl: string | undefined;
  readonly tokens: TokenFile | null;
  readonly driver: HypervisorDriver;
  readonly backends: Backends;
  readonly machine: () => Promise<Machine>;
  readonly log: Logger;
  /** How long to wait before the n-th repetition of a call to the enrolment listener. */
  readonly retryMs?: (repetition: number) => number;
  /** How often the server is told all of it again. */
  readonly resyncMs?: number;
}

const FACTS_EVERY_MS = 60_000;
const CUT_OLDER_MS = 1_000;

/** The agent cannot go on, and trying again would not help. The message is for the person who started it. */
export class AgentError extends Error {
  override readonly name = 'AgentError';
}

/** One host's agent. Many may live in one process, each with its own folder, driver and port. */
export class Agent {
  private readonly closing = new AbortController();
  private readonly timers = new Set<NodeJS.Timeout>();
  private readonly identityFolder: IdentityFolder;
  private readonly listener: Listener;
  private journal: Journal | null = null;
  private inventory: Inventory | null = null;
  private watches: VolumeWatches | null = null;
  private readonly fencing = new Fencing();
  /** Who this agent is now; set once it has enrolled. */
  private identity: StoredIdentity | null = null;
  private renewal: NodeJS.Timeout | undefined;

  constructor(private readonly settings: AgentSettings) {
    this.identityFolder = new IdentityFolder(settings.folder);
    this.listener = new Listener(settings.log);
  }

  /** Takes the guests over, enrols if it must, and answers with who it is once the server can reach it. */
  async start(): Promise<HostRecord> {
    const { driver, backends, folder, log } = this.settings;
    await mkdir(join(folder, 'journal'), { recursive: true, mode: 0o700 });
    const { fencing } = this;
    const journal = (this.journal = await Journal.open(join(folder, 'journal'), fencing));
    const recovered = await driver.recover();
    for (const { id, generation } of recovered) fencing.noteGeneration(id, generation, Date.now());
    log.info({ domains: recovered.length }, 'guests taken over');
    const uses = await VolumeUses.open(join(folder, 'uses'), driver);
    const inventory = (this.inventory = new Inventory({
      driver,
      backends,
      machine: this.settings.machine,
      heartbeatMs,
      resyncMs: this.settings.resyncMs ?? resyncMs,
    }));
    await inventory.refreshFacts();

    const stored = await this.identityFolder.load();
    const port = await this.takePort(stored);
    const identity = await this.identify(stored, port);
    const watches = (this.watches = new VolumeWatches(
      backends,
      (repositoryId) => inventory.noteStorageChanged(repositoryId),
      log,
    ));
    this.identity = identity;
    fencing.join(identity.hostEpoch);
    const takeEpoch = () => this.takeEpoch(port);
    const handlers = createHandlers({
      driver,
      backends,
      uses,
      journal,
      inventory,
      watches,
      log,
      takeEpoch,
    });
    const dispatch = new Dispatch({ handlers, journal, fencing, turns: new Turns(), log });
    this.listener.serve(identity, {
      host: { hostId: identity.hostId, hostEpoch: () => this.identity?.hostEpoch ?? identity.hostEpoch },
      dispatch,
      inventory,
      openConsole: async (domainId, consoleId) => serialConsoles(driver).openConsole(domainId, consoleId),
      log,
    });
    this.every(FACTS_EVERY_MS, () => inventory.refreshFacts());
    this.renewInTime(identity, port);
    log.info({ hostId: identity.hostId, address: identity.address }, 'listening for the server');
    return identity;
  }

  /** Lets go of every guest without touching it. */
  async close(): Promise<void> {
    this.closing.abort(new AgentError('The agent was told to stop.'));
    for (const timer of this.timers) clearTimeout(timer);
    await this.listener.close();
    this.watches?.close();
    this.inventory?.close();
    await this.settings.driver.close();
    await this.journal?.close();
  }

  private async takePort(stored: StoredIdentity | null): Promise<number> {
    const { listen, advertise } = this.settings;
    const { host, port } = listen;
    const kept =
      port === 0 && stored && !advertise
        ? Number(stored.address.slice(stored.address.lastIndexOf(':') + 1))
        : port;
    try {
      return await this.listener.listen({ host, port: kept });
    } catch (error) {
      if (port !== 0 || kept === 0) throw error;
      this.settings.log.warn({ port: kept }, 'the port is taken by another program: taking a new one');
      return this.listener.listen({ host, port: 0 });
    }
  }

  private async identify(stored: StoredIdentity | null, port: number): Promise<StoredIdentity> {
    if (stored) return stored;
    const { enrolUrl, hostName, tokens, log } = this.settings;
    if (!enrolUrl) throw new AgentError('The host has not enrolled, and no DOMUS_ENROL_URL says where to.');
    const token = tokens?.take();
    if (!tokens || !token)
      throw new AgentError('The host has not enrolled, and DOMUS_ENROL_TOKEN_FILE has no token for it.');
    const key = await this.identityFolder.ensureKey();
    const answer = await this.untilAnswered('enrolment', async () =>
      enrol(enrolUrl, token, { hostName, address: await this.address(enrolUrl, port), key }),
    );
    const { hostId, hostEpoch, poolId, certificate, ca } = answer;
    const address = await this.address(enrolUrl, port);
    await this.identityFolder.save(
      { hostId, hostEpoch, poolId, hostName, address, enrolUrl },
      certificate,
      ca,
    );
    await tokens.spent(token);
    log.info({ audit: 'host.enrolled', hostId, poolId }, 'enrolled');
    return { hostId, hostEpoch, poolId, hostName, address, enrolUrl, key, certificate, ca };
  }

  /** Renews at two thirds of the certificate's life; at once when it has run out or the address is another one. */
  private renewInTime(identity: StoredIdentity, port: number): void {
    const life = new X509Certificate(identity.certificate);
    const from = life.validFromDate.getTime();
    const due = from + ((life.validToDate.getTime() - from) * 2) / 3;
    const begin = () =>
      this.untilAnswered('renewal', () => this.renewNow(port)).catch((error: unknown) => {
        if (this.closing.signal.aborted) return;
        this.settings.log.error({ err: error }, 'the certificate could not be renewed');
        this.renewLater(FACTS_EVERY_MS, begin);
      });
    const moved = this.address(this.enrolUrlOf(identity), port).then(
      (address) => address !== identity.address,
      () => false,
    );
    void moved.then((is) => {
      if (this.identity === identity) this.renewLater(is ? 0 : Math.max(0, due - Date.now()), begin);
    });
  }

  private renewLater(milliseconds: number, begin: () => unknown): void {
    clearTimeout(this.renewal);
    this.renewal = this.after(milliseconds, begin);
  }

  private readonly enrolUrlOf = ({ enrolUrl }: HostRecord): string => this.settings.enrolUrl ?? enrolUrl;

  /** Asks once for a new certificate, shows it from now on, and plans the next renewal. */
  private async renewNow(port: number): Promise<void> {
    const before = this.identity;
    if (!before) throw new Error('An agent that has not enrolled has nothing to renew.');
    const enrolUrl = this.enrolUrlOf(before);
    const address = await this.address(enrolUrl, port);
    const { hostId, hostEpoch, poolId, certificate, ca } = await renew(enrolUrl, before, address);
    const { hostName, key } = before;
    const host = { hostId, hostEpoch, poolId, hostName, address, enrolUrl };
    await this.identityFolder.save(host, certificate, ca);
    const identity = (this.identity = { ...host, key, certificate, ca });
    this.fencing.join(hostEpoch);
    // What was opened towards the older epoch was opened towards a host that is dead; the answer to this still goes there.
    if (hostEpoch !== before.hostEpoch) this.after(CUT_OLDER_MS, this.listener.connectionsOfNow());
    this.listener.renew({ key, certificate, ca });
    this.settings.log.info({ hostId, hostEpoch }, 'certificate renewed');
    this.renewInTime(identity, port);
  }

  /** The server has brought this host up to date, and now gives it a certificate for its new epoch. */
  private async takeEpoch(port: number): Promise<number> {
    if ((this.identity?.hostEpoch ?? 0) < this.fencing.epoch)
      await this.renewNow(port).catch((cause: unknown) => {
        // Not a refusal, which would be remembered as the answer: asked again, it is tried again.
        if (!isProblem(cause) || cause.definition.retry !== 'later') throw cause;
        throw new Error('The enrolment listener does not answer.', { cause });
      });
    const { hostEpoch = 0 } = this.identity ?? {};
    if (hostEpoch < this.fencing.epoch)
      throw new Error(`The server gave a certificate for epoch ${hostEpoch} of ${this.fencing.epoch}.`);
    this.settings.log.warn({ audit: 'host.returned', hostEpoch }, 'this host has come back');
    return hostEpoch;
  }

  private async address(enrolUrl: string, port: number): Promise<string> {
    const { advertise } = this.settings;
    if (advertise) return addressOf(advertise.host, advertise.port);
    const { host } = this.settings.listen;
    const wild = host === '0.0.0.0' || host === '::';
    const ip = wild ? await ownAddressTowards(enrolUrl) : host === 'localhost' ? '127.0.0.1' : host;
    return addressOf(ip, port);
  }

  /** Repeats until there is an answer. Only silence and `later` are repeated: a refusal stands. */
  private async untilAnswered<T>(what: string, ask: () => Promise<T>): Promise<T> {
    const retryMs = this.settings.retryMs ?? ((n) => Math.min(250 * 2 ** n, 15_000) * (0.5 + Math.random()));
    for (let repetition = 0; ; repetition += 1) {
      this.closing.signal.throwIfAborted();
      try {
        return await ask();
      } catch (error) {
        if (!isProblem(error) || error.definition.retry !== 'later') throw error;
        if (repetition === 0)
          this.settings.log.warn({ reason: error.detail }, `${what} waits for the server`);
        await new Promise<void>((resolve) => {
          this.after(retryMs(repetition), resolve);
          this.closing.signal.addEventListener('abort', () => resolve(), { once: true });
        });
      }
    }
  }

  private after(milliseconds: number, act: () => unknown): NodeJS.Timeout | undefined {
    if (this.closing.signal.aborted) return undefined;
    const timer = setTimeout(
      () => {
        this.timers.delete(timer);
        act();
      },
      Math.min(milliseconds, 2 ** 31 - 1),
    );
    this.timers.add(timer);
    return timer;
  }

  private every(milliseconds: number, act: () => Promise<unknown>): void {
    const again = () =>
      this.after(milliseconds, () => {
        act().catch((error: unknown) =>
          this.settings.log.error({ err: error }, 'the facts could not be read'),
        );
        again();
      });
    again();
  }
}

const addressOf = (ip: string, port: number): string =>
  ip.includes(':') ? `[${ip}]:${port}` : `${ip}:${port}`;
