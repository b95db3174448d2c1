import { type Pool } from 'pg';
import { type EntityManager } from 'typeorm';
import { clientOf, type Connection, rowsFrom, type Statement } from '../database/statement.js';
import { type Problem } from '../errors/problem.js';
import { type Lease } from './lease.js';

/**
 * Each write reads the operation's row under a share lock, which a claim must wait for: a write by an attempt that is no
 * longer the newest touches nothing.
 */
const FENCE = `select o.id from operation o where o.id = $1 and o.attempt = $2 and o.ended_at is null for share`;

const intent: Statement = {
  name: 'operation_step_intent',
  text: `with fence as (${FENCE})
    insert into operation_step (operation_id, position, name, state, attempt)
    select id, $3, $4, 'intent', $2 from fence
    on conflict (operation_id, position) do update set state = 'intent', attempt = excluded.attempt, ended_at = null
    returning position`,
};

const done: Statement = {
  name: 'operation_step_done',
  text: `with fence as (${FENCE})
    update operation_step s set state = 'done', result = $4, ended_at = now() from fence
    where s.operation_id = fence.id and s.position = $3 returning s.position`,
};

/** SQL of what an operation, whose row is `mine`, shows of itself from now on. It never falls, whoever ran it before; said once. */
const raised = (percent: string): string => `changed as (
      update operation o set progress = ${percent}, progress_at = now() from mine
      where o.id = mine.id and coalesce(o.progress, -1) < ${percent} returning o.id, o.pool_id
    ), told as (
      insert into event (type, object_type, object_id, pool_id, operation_id, changes)
      select 'operation.updated', 'operation', id, pool_id, id, jsonb_build_object('progress', ${percent}) from changed
    )`;
const MINE = `select o.id from operation o where o.id = $1 and o.attempt = $2 and o.ended_at is null for no key update`;

const doneAt: Statement = {
  name: 'operation_step_done_at',
  text: `with mine as (${MINE}), ${raised('$5::int')}
    update operation_step s set state = 'done', result = $4, ended_at = now() from mine
    where s.operation_id = mine.id and s.position = $3 returning s.position`,
};

const failed: Statement = {
  name: 'operation_step_failed',
  text: `with fence as (${FENCE})
    update operation_step s set state = 'failed', error = $4, ended_at = now() from fence
    where s.operation_id = fence.id and s.position = $3 returning s.position`,
};

const undoing: Statement = {
  name: 'operation_step_undoing',
  text: `with fence as (${FENCE})
    update operation_step s set state = 'undoing', attempt = $2, ended_at = null from fence
    where s.operation_id = fence.id and s.position = $3 returning s.position`,
};

const undone: Statement = {
  name: 'operation_step_undone',
  text: `with fence as (${FENCE})
    update operation_step s set state = 'undone', ended_at = now() from fence
    where s.operation_id = fence.id and s.position = $3 returning s.position`,
};

const noReturn: Statement = {
  name: 'operation_no_return',
  text: `update operation o set past_no_return = true where o.id = $1 and o.attempt = $2 and o.ended_at is null returning o.id`,
};

const progress: Statement = {
  name: 'operation_progress',
  text: `with mine as (${MINE}), ${raised('$3::int')} select id from mine`,
};

const fence: Statement = { name: 'operation_fence', text: FENCE };

/** The writes of one attempt. When one finds a newer attempt, the lease is lost and it throws `OperationSuperseded`. */
export class Journal {
  constructor(
    private readonly pool: Pool,
    private readonly lease: Lease,
  ) {}

  intent(position: number, name: string): Promise<void> {
    return this.write(this.pool, intent, [position, name]);
  }

  /** `percent`: what the operation shows from then on; null: as before. */
  done(position: number, result: unknown, percent: number | null): Promise<void> {
    const values = [position, JSON.stringify(result ?? null)];
    return percent === null
      ? this.write(this.pool, done, values)
      : this.write(this.pool, doneAt, [...values, percent]);
  }

  failed(position: number, error: Problem): Promise<void> {
    return this.write(this.pool, failed, [position, JSON.stringify(error)]);
  }

  undoing(position: number): Promise<void> {
    return this.write(this.pool, undoing, [position]);
  }

  undone(position: number): Promise<void> {
    return this.write(this.pool, undone, [position]);
  }

  pointOfNoReturn(): Promise<void> {
    return this.write(this.pool, noReturn, []);
  }

  progress(percent: number): Promise<void> {
    return this.write(this.pool, progress, [percent]);
  }

  /** At the beginning of a transaction of the attempt's own: until it ends, nobody else can claim the operation. */
  async fence(tx: EntityManager): Promise<void> {
    await this.write(await clientOf(tx), fence, []);
  }

  private async write(on: Connection, statement: Statement, values: unknown[]): Promise<void> {
    this.lease.lost.throwIfAborted();
    const rows = await rowsFrom(on, statement, [this.lease.operationId, this.lease.attempt, ...values]);
    if (rows.length > 0) return;
    this.lease.lose('another runner has taken over, or it has ended');
    this.lease.lost.throwIfAborted();
  }
}
