import { xenName } from './xl-config.js';
import { type XenDomain } from './xl-output.js';

/** What Xen showed at one time. Numbers grow: one with a higher number began later. */
export class Listing {
  constructor(
    readonly number: number,
    private readonly domains: readonly XenDomain[],
  ) {}

  /**
   * The domain of ours with this id. Not one that is being destroyed, nor one that migration has under a name of its own
   * (`…--incoming`, `…--migratedaway`), nor somebody else's with the same UUID.
   */
  of(domainId: string): XenDomain | null {
    const name = xenName(domainId);
    return (
      this.domains.find(
        (one) => one.domid !== 0 && one.uuid === domainId && one.name === name && !one.dying,
      ) ?? null
    );
  }

  /** All that a broken-off `xl create` may have left of it: it may not have come to its name yet. */
  remnantsOf(domainId: string): XenDomain[] {
    const names = [xenName(domainId), '(null)'];
    return this.domains.filter(
      (one) => one.domid !== 0 && one.uuid === domainId && names.includes(one.name) && !one.dying,
    );
  }

  get controlDomain(): XenDomain | null {
    return this.domains.find(({ domid }) => domid === 0) ?? null;
  }
}

/** Asks Xen for its list, one question at a time: all who ask while one is under way share the next. */
export class Listings {
  private lastNumber = 0;
  private running: Promise<unknown> | null = null;
  private next: Promise<Listing> | null = null;

  constructor(private readonly ask: () => Promise<XenDomain[]>) {}

  /** The number of the last one that has begun. What changed since then, no listing up to this one need show. */
  get latest(): number {
    return this.lastNumber;
  }

  /** One that began after this call. */
  fresh(): Promise<Listing> {
    if (!this.running) return this.begin();
    this.next ??= this.running.then(() => {
      this.next = null;
      return this.begin();
    });
    return this.next;
  }

  private begin(): Promise<Listing> {
    const number = ++this.lastNumber;
    const listing = this.ask().then((domains) => new Listing(number, domains));
    const settled = listing
      .catch(() => undefined)
      .finally(() => {
        if (this.running === settled) this.running = null;
      });
    this.running = settled;
    return listing;
  }
}
