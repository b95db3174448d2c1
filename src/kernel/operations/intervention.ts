import { type DataSource, type EntityManager } from 'typeorm';
import { inTransaction } from '../database/transaction.js';

/** Something that is done to an operation from outside, in a transaction of whoever asks for it. */
export interface Intervention<R> {
  /** May be done twice, like any transaction's work. */
  readonly work: (tx: EntityManager) => Promise<R>;
  /** With what the transaction came to, once it has committed: who died before loses nothing, only time. */
  readonly committed: (result: R) => Promise<void>;
}

/** In a transaction of its own. */
export async function intervene<R>(
  dataSource: DataSource,
  { work, committed }: Intervention<R>,
): Promise<void> {
  await committed(await inTransaction(dataSource, work));
}
