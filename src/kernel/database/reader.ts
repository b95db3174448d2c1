import { type Pool, type PoolClient } from 'pg';
import { type ProblemError } from '../errors/problem.js';
import { requestInvalid } from '../errors/problems.js';
import { type FilterNode, FilterSyntaxError, parseFilter } from '../schema/filter.js';
import { ComparisonError } from './comparison.js';
import { compileOne, compilePage } from './compile-read.js';
import { isDatabaseUnavailable, unavailable } from './unavailable.js';
import { type Order, readCursor, readOrder, writeCursor } from './order.js';
import { MOST_DEAR, type ReadModel } from './read-model.js';
import { isDear, type Selection } from './selection.js';
import { type BoundStatement, StatementNames } from './parameters.js';

export interface PageQuery {
  readonly selection: Selection;
  readonly limit: number;
  readonly cursor?: string | undefined;
  readonly filter?: string | undefined;
  readonly sort?: string | undefined;
  /** What the caller called the cursor, for the answer that refuses it: `cursor` in REST, `after` in GraphQL. */
  readonly cursorName?: string;
  /** The same for the length of the page: `limit` or `first`. */
  readonly limitName?: string;
  readonly keys?: boolean;
}

/** A page as text: nobody between PostgreSQL and the client parses it. */
export interface PageText {
  /** JSON objects joined by commas, without the brackets. */
  readonly items: string;
  readonly more: boolean;
  /** Of the last item; null for an empty page. */
  readonly lastCursor: string | null;
  /** Makes an item's own cursor from its `__key`. */
  readonly cursorOf: (key: unknown) => string;
}

export interface ObjectText {
  readonly text: string;
  /** Null where the noun has none. */
  readonly revision: number | null;
}

/** A read that takes longer is given up; its connection is thrown away, and the client may ask again. */
const READ_TIMEOUT_MS = 5_000;

/** Runs what reads a filter; what cannot be read is `request.invalid`. */
export function understand<R>(filter: () => R): R {
  try {
    return filter();
  } catch (error) {
    if (error instanceof FilterSyntaxError || error instanceof ComparisonError)
      throw requestInvalid(`The filter cannot be used: ${error.message}`, {
        errors: [{ path: 'filter', message: error.message }],
      });
    throw error;
  }
}

/** What runs a statement: a pool, or the connection of a transaction. */
type Source = Pick<Pool | PoolClient, 'query'>;

/** Runs read models on the server's pool of connections. Rejects with `request.invalid`, `<noun>.not_found` or `database.unavailable`. */
export class Reader {
  private readonly names = new StatementNames();

  constructor(private readonly pool: () => Source) {}

  /** Reads on one connection, inside its transaction. */
  on(client: PoolClient): Reader {
    return new Reader(() => client);
  }

  async page(model: ReadModel, query: PageQuery): Promise<PageText> {
    const order = readOrder(model, query.sort);
    const filter: FilterNode | null =
      query.filter === undefined ? null : understand(() => parseFilter(query.filter ?? ''));
    const after =
      query.cursor === undefined
        ? null
        : readCursor(model, order, query.cursor, query.cursorName ?? 'cursor');
    const { selection, limit, limitName = 'limit', keys = false } = query;
    if (limit > MOST_DEAR && isDear(model, selection)) {
      const message = `at most ${MOST_DEAR} with actions`;
      throw requestInvalid(`${limitName}: ${message}.`, { errors: [{ path: limitName, message }] });
    }
    const statement = understand(() => compilePage(model, { selection, order, filter, after, limit, keys }));
    const [row] = await this.run(statement);
    if (after) await this.refuseTrimmed(model, order, after);
    const [items, more, key] = row ?? [];
    const cursorOf = (own: unknown): string => writeCursor(model, order, JSON.stringify(own));
    return {
      items: typeof items === 'string' ? items : '',
      more: more === true,
      lastCursor: typeof key === 'string' ? cursorOf(JSON.parse(key)) : null,
      cursorOf,
    };
  }

  /** Asked after the page was read: what is gone by then may be missing in it. */
  private async refuseTrimmed(
    model: ReadModel,
    order: Order,
    after: readonly (string | null)[],
  ): Promise<void> {
    const { trimmed } = model;
    if (!trimmed || order.keys[0]?.descending) return;
    const [row] = await this.run({ text: trimmed.upTo, values: [] });
    const upTo = Number(row?.[0] ?? 0);
    const from = Number(after[order.keys.findIndex(({ name }) => name === 'id')]);
    if (from < upTo) throw trimmed.problem(`What came before ${model.noun} ${upTo + 1} is gone.`);
  }

  async find(model: ReadModel, id: string, selection: Selection): Promise<ObjectText | null> {
    const [row] = await this.run(compileOne(model, id, selection));
    if (!row) return null;
    const [text, revision] = row;
    return { text: String(text), revision: typeof revision === 'number' ? revision : null };
  }

  async get(model: ReadModel, id: string, selection: Selection): Promise<ObjectText> {
    const found = await this.find(model, id, selection);
    if (!found) throw noSuch(model, id);
    return found;
  }

  /** For reads that no model covers. Columns come in the order of the statement. */
  async run(statement: BoundStatement): Promise<unknown[][]> {
    const name = this.names.of(statement.text);
    const query = {
      ...(name === undefined ? {} : { name }),
      text: statement.text,
      values: [...statement.values],
      rowMode: 'array' as const,
      query_timeout: READ_TIMEOUT_MS,
    };
    try {
      const { rows } = await this.pool().query<unknown[]>(query);
      return rows;
    } catch (error) {
      throw isDatabaseUnavailable(error) ? unavailable(error) : error;
    }
  }
}

export const noSuch = (model: ReadModel, id: string): ProblemError =>
  model.notFound(`There is no ${model.noun.replace(/_/g, ' ')} ${id}.`);
