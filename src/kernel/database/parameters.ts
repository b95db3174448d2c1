import { createHash } from 'node:crypto';

export type SqlValue = string | number | boolean | null;

/** A statement and what it is bound to. */
export interface BoundStatement {
  readonly text: string;
  readonly values: readonly SqlValue[];
}

/** Collects what came from outside: it reaches PostgreSQL as parameters, never as text. */
export class Parameters {
  readonly values: SqlValue[] = [];
  add(value: SqlValue, cast: string): string {
    this.values.push(value);
    return `$${this.values.length}::${cast}`;
  }
}

/**
 * Names for prepared statements. A statement of the same text gets the same name, so that each connection plans it once.
 * Every name costs memory on every connection for as long as that lives, and filters can be worded without end:
 * past the limit a statement runs unnamed.
 */
export class StatementNames {
  private readonly names = new Map<string, string>();
  constructor(private readonly limit = 200) {}

  of(text: string): string | undefined {
    const known = this.names.get(text);
    if (known || this.names.size >= this.limit) return known;
    const name = `r${createHash('sha256').update(text).digest('hex').slice(0, 24)}`;
    this.names.set(text, name);
    return name;
  }
}
