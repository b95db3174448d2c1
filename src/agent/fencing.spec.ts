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
    const again = new Fencing();
    again.restore(fencing.marks(20, { attempt: 0, domain: 0 }));
    expect(again.marks(20, { attempt: 0, domain: 0 })).toEqual(fencing.marks(20, { attempt: 0, domain: 0 }));
  });
});
