import { Injectable } from '@nestjs/common';
import { isDeepStrictEqual } from 'node:util';
import { DataSource, type EntityManager } from 'typeorm';
import { CertificateAuthorities } from '../../host-link/certificate-authorities.js';
import { violates } from '../../kernel/database/constraint.js';
import { type Caller } from '../../kernel/operations/caller.js';
import { firstRowOf } from '../../kernel/database/sql.js';
import { inTransaction } from '../../kernel/database/transaction.js';
import { appendEvent } from '../../kernel/events/append-event.js';
import { type ExpectedRevision, matchRevision } from '../../kernel/schema/revision.js';
import { newId } from '../../kernel/schema/values.js';
import { poolExists, poolNotFound } from './pool.errors.js';
import { type CreatePoolInput, type PatchPoolInput } from './pool.schema.js';

/** Short writes on pools. Reads go through `poolModel`. */
@Injectable()
export class PoolService {
  constructor(
    private readonly source: DataSource,
    private readonly authorities: CertificateAuthorities,
  ) {}

  /** Answers with the id. */
  async create(input: CreatePoolInput, _caller: Caller): Promise<string> {
    const id = input.id ?? newId();
    const { name, agentNetworks } = input;
    await this.write(name, async (tx) => {
      await tx.query(`insert into pool (id, name, agent_networks) values ($1, $2, $3)`, [
        id,
        name,
        agentNetworks,
      ]);
      await this.authorities.create(tx, id);
      const object = { type: 'pool', id };
      await appendEvent(tx, { type: 'pool.created', object, poolId: id, changes: { name, agentNetworks } });
    });
    return id;
  }

  async patch(id: string, input: PatchPoolInput, expected: ExpectedRevision, _caller: Caller): Promise<void> {
    await this.write(input.name ?? '', async (tx) => {
      const row = await firstRowOf<{ revision: number; name: string; agentNetworks: string[] }>(
        tx,
        `select revision, name, agent_networks as "agentNetworks" from pool where id = $1 for update`,
        [id],
      );
      if (!row) throw poolNotFound(`There is no pool ${id}.`);
      matchRevision(expected, row.revision, true);
      const { name = row.name, agentNetworks = row.agentNetworks } = input;
      // A patch that changes nothing counts as none.
      if (isDeepStrictEqual([name, agentNetworks], [row.name, row.agentNetworks])) return;
      await tx.query(
        `update pool set name = $2, agent_networks = $3,
           revision = revision + 1, updated_at = now() where id = $1`,
        [id, name, agentNetworks],
      );
      const changes = { ...input, revision: row.revision + 1 };
      await appendEvent(tx, { type: 'pool.updated', object: { type: 'pool', id }, poolId: id, changes });
    });
  }

  private async write(name: string, work: (tx: EntityManager) => Promise<void>): Promise<void> {
    try {
      await inTransaction(this.source, work);
    } catch (error) {
      if (violates(error, 'pk_pool')) throw poolExists('There is already a pool with this id.');
      if (violates(error, 'ix_pool_name')) throw poolExists(`There is already a pool named ${name}.`);
      throw error;
    }
  }
}
