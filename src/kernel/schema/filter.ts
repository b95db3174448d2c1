/**
 * The filter grammar of every list, in both faces:
 *
 *   filter  := and { "or" and }        and  := term { "and" term }
 *   term    := "(" filter ")" | field op value
 *   op      := "=" | "!=" | "<" | "<=" | ">" | ">="
 *   value   := string in double quotes (JSON escapes) | number | true | false | null
 *
 * Pure: it knows no field names and no SQL. Positions count characters from 1, as people do.
 */
export const comparisonOps = ['=', '!=', '<', '<=', '>', '>='] as const;
export type ComparisonOp = (typeof comparisonOps)[number];
export type FilterValue = string | number | boolean | null;

export type FilterNode =
  | {
      readonly kind: 'compare';
      readonly field: string;
      readonly op: ComparisonOp;
      readonly value: FilterValue;
      readonly at: number;
    }
  | { readonly kind: 'and' | 'or'; readonly parts: readonly FilterNode[] };

export class FilterSyntaxError extends Error {
  override readonly name = 'FilterSyntaxError';
  constructor(
    readonly position: number,
    readonly reason: string,
  ) {
    super(`at ${position}: ${reason}`);
  }
}

/** Far above what people write, far below what hurts the parser or the planner. */
export const filterLimits = { length: 4096, depth: 32, comparisons: 64 } as const;

interface Token {
  readonly kind: 'word' | 'op' | 'value' | '(' | ')' | 'end';
  readonly text: string;
  readonly value: FilterValue;
  readonly at: number;
}

const TOKEN =
  /\s*(?:(?<paren>[()])|(?<op>!=|<=|>=|=|<|>)|(?<string>"(?:[^"\\]|\\.)*")|(?<number>-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?)(?![\w.])|(?<word>[A-Za-z][A-Za-z0-9]*(?:\.[A-Za-z][A-Za-z0-9]*)*))/uy;

const WORD_VALUES: ReadonlyMap<string, FilterValue> = new Map<string, FilterValue>([
  ['true', true],
  ['false', false],
  ['null', null],
]);

function readString(text: string, at: number): string {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'string' && !value.includes('\0')) return value;
  } catch {
    // A control character or an unknown escape: the one sentence below covers both.
  }
  throw new FilterSyntaxError(at, 'the string is not written as in JSON');
}

function tokens(source: string): Token[] {
  const found: Token[] = [];
  const end = source.trimEnd().length;
  TOKEN.lastIndex = 0;
  while (TOKEN.lastIndex < end) {
    const from = TOKEN.lastIndex;
    const groups = TOKEN.exec(source)?.groups;
    if (!groups) {
      const at = from + (source.slice(from).match(/^\s*/)?.[0].length ?? 0);
      const what = source[at] === '"' ? 'the string has no closing quote' : `unexpected ${source[at]}`;
      throw new FilterSyntaxError(at + 1, what);
    }
    const { paren, op, string, number, word } = groups;
    const text = paren ?? op ?? string ?? number ?? word ?? '';
    const at = TOKEN.lastIndex - text.length + 1;
    if (paren) found.push({ kind: paren === '(' ? '(' : ')', text, value: null, at });
    else if (op) found.push({ kind: 'op', text, value: null, at });
    else if (string) found.push({ kind: 'value', text, value: readString(string, at), at });
    else if (number) found.push({ kind: 'value', text, value: Number(number), at });
    else if (WORD_VALUES.has(text))
      found.push({ kind: 'value', text, value: WORD_VALUES.get(text) ?? null, at });
    else found.push({ kind: 'word', text, value: null, at });
  }
  found.push({ kind: 'end', text: 'the end', value: null, at: end + 1 });
  return found;
}

const isOp = (text: string): text is ComparisonOp => comparisonOps.some((op) => op === text);

class Parser {
  private index = 0;
  private comparisons = 0;
  constructor(private readonly tokens: readonly Token[]) {}

  parse(): FilterNode {
    const node = this.anyOf(0);
    const rest = this.peek();
    if (rest.kind !== 'end')
      throw new FilterSyntaxError(rest.at, `expected and, or or the end, not ${rest.text}`);
    return node;
  }

  private peek(): Token {
    const token = this.tokens[this.index];
    if (!token) throw new FilterSyntaxError(1, 'the filter is empty');
    return token;
  }

  private take(): Token {
    const token = this.peek();
    if (token.kind !== 'end') this.index += 1;
    return token;
  }

  private joined(word: 'and' | 'or', part: () => FilterNode): FilterNode {
    const parts = [part()];
    while (this.peek().kind === 'word' && this.peek().text === word) {
      this.index += 1;
      parts.push(part());
    }
    const [only] = parts;
    return parts.length === 1 && only ? only : { kind: word, parts };
  }

  private anyOf(depth: number): FilterNode {
    return this.joined('or', () => this.joined('and', () => this.term(depth)));
  }

  private term(depth: number): FilterNode {
    const token = this.take();
    if (token.kind === '(') {
      if (depth >= filterLimits.depth) throw new FilterSyntaxError(token.at, 'too many parentheses');
      const inner = this.anyOf(depth + 1);
      const close = this.take();
      if (close.kind !== ')') throw new FilterSyntaxError(close.at, `expected ), not ${close.text}`);
      return inner;
    }
    if (token.kind !== 'word' || token.text === 'and' || token.text === 'or')
      throw new FilterSyntaxError(token.at, `expected a field or (, not ${token.text}`);
    const op = this.take();
    if (op.kind !== 'op' || !isOp(op.text))
      throw new FilterSyntaxError(op.at, `expected = != < <= > or >=, not ${op.text}`);
    const value = this.take();
    if (value.kind !== 'value')
      throw new FilterSyntaxError(
        value.at,
        `expected a value, not ${value.text}; text stands in double quotes`,
      );
    this.comparisons += 1;
    if (this.comparisons > filterLimits.comparisons)
      throw new FilterSyntaxError(token.at, 'too many comparisons');
    return { kind: 'compare', field: token.text, op: op.text, value: value.value, at: token.at };
  }
}

/** Throws `FilterSyntaxError` with the position. */
export function parseFilter(source: string): FilterNode {
  if (source.length > filterLimits.length)
    throw new FilterSyntaxError(filterLimits.length, `longer than ${filterLimits.length} characters`);
  return new Parser(tokens(source)).parse();
}

/** The canonical text of a filter: what it parses from, and the tests' way round. */
export function printFilter(node: FilterNode): string {
  if (node.kind === 'compare') return `${node.field} ${node.op} ${JSON.stringify(node.value)}`;
  return node.parts
    .map((part) => (part.kind === 'compare' ? printFilter(part) : `(${printFilter(part)})`))
    .join(` ${node.kind} `);
}
