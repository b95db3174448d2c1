import { type EntityManager } from 'typeorm';
import { clientOf, poolOf, rowsFrom, type Statement } from './statement.js';

/** More different texts than this are no constants of the program: they would pile up in every connection. */
const MOST_STATEMENTS = 1_000;

const statements = new Map<string, Statement>();

/** The statement of a text: PostgreSQL parses and plans it once a connection. */
function statementOf(text: string): Statement | { readonly text: string } {
  const known = statements.get(text);
  if (known) return known;
  if (statements.size >= MOST_STATEMENTS) return { text };
  const statement = { name: `sql_${statements.size}`, text };
  statements.set(text, statement);
  return statement;
}

/** Rows of one statement, whatever its verb; in the transaction of `tx`, if there is one. Its text is a constant: values are parameters. */
export async function rowsOf<R extends object>(
  tx: EntityManager,
  sql: string,
  parameters: unknown[] = [],
): Promise<R[]> {
  const on = tx.queryRunner ? await clientOf(tx) : poolOf(tx.connection);
  return rowsFrom<R & Record<string, unknown>>(on, statementOf(sql), parameters);
}

export async function firstRowOf<R extends object>(
  tx: EntityManager,
  sql: string,
  parameters: unknown[] = [],
): Promise<R | undefined> {
  const [row] = await rowsOf<R>(tx, sql, parameters);
  return row;
}
