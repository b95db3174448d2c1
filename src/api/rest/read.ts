import { type ReadModel } from '../../kernel/database/read-model.js';
import { type Reader } from '../../kernel/database/reader.js';
import { readSelection } from '../../kernel/database/selection.js';
import { type ListQuery, type OneQuery } from '../../kernel/schema/page.js';
import { Answer } from './answer.js';

/** `GET /v1/<nouns>`. */
export async function readList(reader: Reader, model: ReadModel, query: ListQuery): Promise<Answer> {
  const { limit, cursor, filter, sort } = query;
  const selection = readSelection(model, query);
  return Answer.page(await reader.page(model, { selection, limit, cursor, filter, sort }));
}

/** `GET /v1/<nouns>/{id}`; without a query, what a write answers with. */
export async function readOne(
  reader: Reader,
  model: ReadModel,
  id: string,
  query: OneQuery = {},
): Promise<Answer> {
  return Answer.object(await reader.get(model, id, readSelection(model, query, 'one')));
}
