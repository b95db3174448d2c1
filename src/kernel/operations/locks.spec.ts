import fc from 'fast-check';
import { compatible, exclusive, incompatibleSql, inLockingOrder, type LockMode, shared } from './locks.js';

const mode = fc.constantFrom<LockMode>('shared', 'exclusive');
const request = fc.record({
  type: fc.constantFrom('domain', 'host', 'volume'),
  id: fc.constantFrom('a', 'b', 'c'),
  mode,
});

describe('locks', () => {
  it('are compatible the same way whoever came first', () => {
    fc.assert(fc.property(mode, mode, (a, b) => compatible[a][b] === compatible[b][a]));
  });

  it('never let anybody beside an exclusive one', () => {
    fc.assert(fc.property(mode, (other) => !compatible.exclusive[other]));
  });

  it('read the same in SQL as in the table', () => {
    expect(incompatibleSql('a', 'h')).toBe(
      `(a, h) in (('shared', 'exclusive'), ('exclusive', 'shared'), ('exclusive', 'exclusive'))`,
    );
  });

  it('are taken in one order by everybody, each object once, in the strongest mode that was asked', () => {
    fc.assert(
      fc.property(fc.array(request), (requests) => {
        const ordered = inLockingOrder(requests);
        const keys = ordered.map(({ type, id }) => `${type}:${id}`);
        expect(keys).toEqual([...new Set(requests.map(({ type, id }) => `${type}:${id}`))].sort());
        for (const { type, id, mode: taken } of ordered) {
          const modes = requests.filter((r) => r.type === type && r.id === id).map((r) => r.mode);
          expect(taken).toBe(modes.includes('exclusive') ? 'exclusive' : 'shared');
        }
      }),
    );
    expect(inLockingOrder([exclusive('host', '1'), shared('domain', '1')])).toEqual([
      shared('domain', '1'),
      exclusive('host', '1'),
    ]);
  });
});
