import { Fencing, type Numbers } from './fencing.js';

const numbers = (over: Partial<Numbers> = {}): Numbers => ({
  call: 'domain.start',
  operationId: 'op',
  attempt: 1,
  hostEpoch: 1,
  domain: { id: 'd', generation: 1 },
  ...over,
});

describe('fencing', () => {
  it.each([
    ['an older epoch of the host', { hostEpoch: 2 }, { hostEpoch: 1, operationId: 'other', domain: null }],
    ['an older attempt of the operation', { attempt: 3 }, { attempt: 2 }],
    [
      'an older generation of the domain',
      { domain: { id: 'd', generation: 5 } },
      { operationId: 'other', domain: { id: 'd', generation: 4 } },
    ],
    [
      'an older executor of the storage repository',
      { domain: null, executor: { repositoryId: 'r', generation: 3 } },
      { operationId: 'other', executor: { repositoryId: 'r', generation: 2 } },
    ],
  ])('refuses %s', (_, seen, late) => {
    const fencing = new Fencing();
    fencing.note(numbers(seen), 0);
    expect(() => fencing.check(numbers({ ...seen, ...late }))).toThrow('call.fenced');
    fencing.check(numbers(seen));
  });

  it('refuses the start of a generation that another operation forced off, but not the next one', () => {
    const fencing = new Fencing();
    fencing.note(numbers({ call: 'domain.forceOff', operationId: 'off' }), 0);
    expect(() => fencing.check(numbers({ operationId: 'late' }))).toThrow('forced off');
    fencing.check(numbers({ operationId: 'off' }));
    fencing.check(numbers({ operationId: 'next', domain: { id: 'd', generation: 2 } }));
  });

  it('judges each storage repository by its own executor, and a call that names no generation by the rest', () => {
    const fencing = new Fencing();
    fencing.note(numbers({ executor: { repositoryId: 'r', generation: 3 } }), 0);
    fencing.check(numbers({ executor: { repositoryId: 's', generation: 1 } }));
    fencing.check(numbers());
  });

  it('keeps every number through the line that compaction writes', () => {
    const fencing = new Fencing();
    fencing.note(numbers({ attempt: 4, hostEpoch: 3, domain: { id: 'd', generation: 6 } }), 10);
    fencing.note(
      numbers({
        call: 'domain.forceOff',
        operationId: 'off',
        hostEpoch: 3,
        domain: { id: 'd', generation: 6 },
      }),
      10,
    );
    fencing.note(numbers({ hostEpoch: 3, domain: null, executor: { repositoryId: 'r', generation: 5 } }), 10);
    expect(fencing.marks(20, { attempt: 0, generation: 0 }).executors).toHaveLength(1);
    const again = new Fencing();
    again.restore(fencing.marks(20, { attempt: 0, generation: 0 }));
    expect(again.marks(20, { attempt: 0, generation: 0 })).toEqual(
      fencing.marks(20, { attempt: 0, generation: 0 }),
    );
  });
});
