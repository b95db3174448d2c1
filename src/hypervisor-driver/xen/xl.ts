import { type Dom0, type XlResult } from './dom0.js';
import { firstComplaint, startFailure } from './start-failure.js';
import { xenName } from './xl-config.js';
import { parseInfo, parseList, type XenDomain, type XenInfo } from './xl-output.js';

const ASK_MS = 30_000;
const TURN_MS = 30_000;
const DESTROY_MS = 60_000;
/** xl gives hotplug scripts 40 s; a device model may be tried for as long. */
const CREATE_MS = 150_000;

/** The few things that xl is asked for. Domains are named, never numbered: a number may be another domain's by now. */
export class Xl {
  constructor(private readonly dom0: Pick<Dom0, 'xl'>) {}

  async list(): Promise<XenDomain[]> {
    return parseList(await this.said(['list', '-v']));
  }

  async info(): Promise<XenInfo> {
    return parseInfo(await this.said(['info']));
  }

  /**
   * Makes the domain, paused. `-e`: no xl stays behind to act when the guest ends; the agent does. The configuration is an
   * argument: nothing has to be on a disk for it. Throws the refusal that fits.
   */
  async create(domainId: string, config: string, signal: AbortSignal): Promise<void> {
    const scope = `domus-${domainId}-${Date.now().toString(36)}`;
    const args = ['create', '-q', '-e', '-p', '/dev/null', config];
    const { code, stderr } = await this.dom0.xl(args, { timeoutMs: CREATE_MS, signal, scope });
    signal.throwIfAborted();
    if (code !== 0) throw startFailure(stderr, `xl create ended with ${code}.`);
  }

  /** False when Xen does not know the domain (any more). Pauses are counted by Xen: each wants an `unpause` of its own. */
  pause(domainId: string): Promise<boolean> {
    return this.turn('pause', domainId);
  }
  unpause(domainId: string): Promise<boolean> {
    return this.turn('unpause', domainId);
  }

  /** Ends it now; silent when it is not there. */
  async destroy(domainId: string): Promise<void> {
    await this.destroyNamed(xenName(domainId));
  }

  /** One that has not come to its name. Only with a number that was seen together with the domain's UUID a moment ago. */
  async destroyNumber(domid: number): Promise<void> {
    if (domid === 0) throw new Error('Domain 0 is never destroyed.');
    await this.destroyNamed(String(domid));
  }

  /** Tells domain 0 how much memory it may have. What it is refused with in xl's words; null when it was told. */
  setControlDomainMemory(mebibytes: number): Promise<string | null> {
    return this.tellControlDomain(['mem-set', '0', `${mebibytes}m`]);
  }

  /** Whether so many are more than the machine's processors is not xl's to judge: the inventory does. */
  setControlDomainVcpus(count: number): Promise<string | null> {
    return this.tellControlDomain(['vcpu-set', '--ignore-host', '0', String(count)]);
  }

  private async tellControlDomain(args: string[]): Promise<string | null> {
    const { code, stderr } = await this.dom0.xl(args, { timeoutMs: TURN_MS });
    return code === 0 ? null : (firstComplaint(stderr) ?? `xl ${args.join(' ')} ended with ${code}.`);
  }

  private async destroyNamed(which: string): Promise<void> {
    const result = await this.dom0.xl(['destroy', which], { timeoutMs: DESTROY_MS });
    if (result.code !== 0 && !isUnknown(result)) throw failure('destroy', result);
  }

  private async turn(verb: 'pause' | 'unpause', domainId: string): Promise<boolean> {
    const result = await this.dom0.xl([verb, xenName(domainId)], { timeoutMs: TURN_MS });
    if (result.code === 0) return true;
    if (isUnknown(result)) return false;
    throw failure(verb, result);
  }

  private async said(args: string[]): Promise<string> {
    const result = await this.dom0.xl(args, { timeoutMs: ASK_MS });
    if (result.code !== 0) throw failure(args.join(' '), result);
    return result.stdout;
  }
}

const isUnknown = ({ stderr }: XlResult): boolean => stderr.includes('is an invalid domain identifier');

const failure = (what: string, { code, stderr }: XlResult): Error =>
  new Error(`xl ${what} ended with ${code}: ${firstComplaint(stderr) ?? 'it did not say why'}`);
