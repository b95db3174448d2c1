import fc from 'fast-check';
import { comparisonOps, type FilterNode, FilterSyntaxError, parseFilter, printFilter } from './filter.js';

const compare = (field: string, op: '=' | '!=', value: string | number, at: number): FilterNode => ({
  kind: 'compare',
  field,
  op,
  value,
  at,
});

const reject = (source: string): FilterSyntaxError => {
  try {
    parseFilter(source);
  } catch (error) {
    if (error instanceof FilterSyntaxError) return error;
    throw error;
  }
  throw new Error(`${source} was accepted`);
};

const field = fc
  .stringMatching(/^[a-z][A-Za-z0-9]{0,8}(\.[a-z]{1,5})?$/)
  .filter((name) => !['and', 'or', 'true', 'false', 'null'].includes(name));
const value = fc.oneof(
  fc.string({ unit: 'grapheme' }).filter((text) => !text.includes('\0')),
  fc.double({ noNaN: true, noDefaultInfinity: true }).map((n) => (Object.is(n, -0) ? 0 : n)),
  fc.constantFrom(true, false, null),
);
const leaf = fc
  .tuple(field, fc.constantFrom(...comparisonOps), value)
  .map(([name, op, v]): FilterNode => ({ kind: 'compare', field: name, op, value: v, at: 0 }));
const { tree } = fc.letrec<{ tree: FilterNode }>((tie) => ({
  tree: fc.oneof(
    { maxDepth: 4 },
    leaf,
    fc
      .tuple(
        fc.constantFrom('and' as const, 'or' as const),
        fc.array(tie('tree'), { minLength: 2, maxLength: 4 }),
      )
      .map(([kind, parts]): FilterNode => ({ kind, parts })),
  ),
}));
const withoutPositions = (node: FilterNode): FilterNode =>
  node.kind === 'compare' ? { ...node, at: 0 } : { ...node, parts: node.parts.map(withoutPositions) };

describe('the filter grammar', () => {
  it('binds and tighter than or, and parentheses tighter than both', () => {
    expect(parseFilter('a = 1 or b = "x" and c != 2')).toEqual({
      kind: 'or',
      parts: [
        compare('a', '=', 1, 1),
        { kind: 'and', parts: [compare('b', '=', 'x', 10), compare('c', '!=', 2, 22)] },
      ],
    });
    expect(parseFilter('(a = 1 or b = "x") and c != 2')).toMatchObject({ kind: 'and' });
  });

  it('gives every filter back that it printed', () => {
    fc.assert(
      fc.property(tree, (node) => {
        expect(withoutPositions(parseFilter(printFilter(node)))).toEqual(withoutPositions(node));
      }),
    );
  });

  it('answers any text with a filter or with a position inside it', () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.string(), fc.string({ unit: fc.constantFrom(...'ab=<>!()" 1.e\\and or') })),
        (source) => {
          try {
            parseFilter(source);
          } catch (error) {
            expect(error).toBeInstanceOf(FilterSyntaxError);
            if (!(error instanceof FilterSyntaxError)) return;
            expect(error.position).toBeGreaterThanOrEqual(1);
            expect(error.position).toBeLessThanOrEqual(source.length + 1);
          }
        },
      ),
    );
  });

  it.each([
    ['', 1],
    ['name', 5],
    ['name =', 7],
    ['name = x', 8],
    ['name = "x', 8],
    ['name == "x"', 7],
    ['name = "x" name = "y"', 12],
    ['(name = "x"', 12],
    ['name = "x")', 11],
    ['and = 1', 1],
    ['name ~ "x"', 6],
    ['vcpus = 1x', 9],
    ["name = 'x'", 8],
  ])('names the place of the mistake in %j', (source, position) => {
    expect(reject(source).position).toBe(position);
  });

  it('refuses what is too long, too deep or too wide before it costs anything', () => {
    expect(reject(`${'('.repeat(40)}a = 1${')'.repeat(40)}`).reason).toMatch(/parentheses/);
    expect(reject(Array.from({ length: 65 }, () => 'a = 1').join(' or ')).reason).toMatch(/comparisons/);
    expect(reject(`a = "${'x'.repeat(5000)}"`).reason).toMatch(/longer/);
  });
});
