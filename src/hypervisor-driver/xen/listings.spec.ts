import { Listing, Listings } from './listings.js';
import { type XenDomain } from './xl-output.js';

const id = '0190a0a0-0000-7000-8000-000000000001';
const aDomain = (change: Partial<XenDomain> = {}): XenDomain => ({
  name: `domus-${id}`,
  domid: 4,
  uuid: id,
  memoryMib: 64,
  vcpus: 1,
  paused: false,
  shutdown: null,
  dying: false,
  ...change,
});

describe('a domain of ours in a list of Xen', () => {
  it.each<[string, Partial<XenDomain>]>([
    ['the control domain', { domid: 0 }],
    ['one that is being destroyed', { dying: true }],
    ['one that arrives by migration', { name: `domus-${id}--incoming` }],
    ['one that has left by migration', { name: `domus-${id}--migratedaway` }],
    ["somebody else's with our UUID", { name: 'web' }],
    ["somebody else's with our name", { uuid: id.replace('0190', '0191') }],
  ])('is never %s', (_, change) => {
    expect(new Listing(1, [aDomain(change)]).of(id)).toBeNull();
    expect(new Listing(1, [aDomain(change), aDomain()]).of(id)).toEqual(aDomain());
  });

  it('may be without its name only where it is to be cleared away', () => {
    const nameless = aDomain({ name: '(null)', domid: 5 });
    const listing = new Listing(1, [nameless, aDomain({ name: 'web', domid: 6 }), aDomain({ domid: 0 })]);
    expect(listing.of(id)).toBeNull();
    expect(listing.remnantsOf(id)).toEqual([nameless]);
  });
});

describe('asking Xen for its list', () => {
  it('asks once for all who come while it is being asked, and never gives an answer from before the question', async () => {
    const answers: (() => void)[] = [];
    const listings = new Listings(() => new Promise((resolve) => answers.push(() => resolve([]))));
    const first = listings.fresh();
    const [second, third] = [listings.fresh(), listings.fresh()];
    expect(answers).toHaveLength(1);
    answers[0]?.();
    expect((await first).number).toBe(1);
    await new Promise(setImmediate);
    expect(answers).toHaveLength(2);
    const fourth = listings.fresh();
    answers[1]?.();
    expect([(await second).number, (await third).number]).toEqual([2, 2]);
    await new Promise(setImmediate);
    answers[2]?.();
    expect((await fourth).number).toBe(3);
  });

  it('goes on after a question that failed', async () => {
    let failing = true;
    const listings = new Listings(async () => {
      if (failing) throw new Error('xl failed');
      return [];
    });
    const [one, other] = [listings.fresh(), listings.fresh()];
    await expect(one).rejects.toThrow('xl failed');
    failing = false;
    expect((await other).number).toBe(2);
  });
});
