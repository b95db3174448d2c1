import { Injectable } from '@nestjs/common';
import { isDeepStrictEqual } from 'node:util';
import { type EntityManager } from 'typeorm';
import { CertificateAuthorities } from '../../host-link/certificate-authorities.js';
import { violates } from '../../kernel/database/constraint.js';
import { firstRowOf } from '../../kernel/database/sql.js';
import { appendEvent } from '../../kernel/events/append-event.js';
import { ShortWrites } from '../../kernel/operations/short-writes.js';
import { type Terms, type Written } from '../../kernel/operations/terms.js';
import { type ExpectedRevision, matchRevision } from '../../kernel/schema/revision.js';
import { newId } from '../../kernel/schema/values.js';
import { poolExists, poolNotFound } from './pool.errors.js';
import { poolModel } from './pool.queries.js';
import { type CreatePoolInput, type OutOfBand, type PatchPoolInput } from './pool.schema.js';

/** Short writes on pools. Reads go through `poolModel`. */
@Injectable()
export class PoolService {
  constructor(
    private readonly writes: ShortWrites,
    private readonly authorities: CertificateAuthorities,
  ) {}

  create(input: CreatePoolInput, terms: Terms): Promise<Written> {
    const id = input.id ?? newId();
    const target = { type: 'pool', id };
    const work = (tx: EntityManager): Promise<void> => this.insert(tx, id, input);
    const answer = { status: 201, headers: { location: `/v1/pools/${id}` } } as const;
    const write = { kind: 'pool.create', target, asked: input, work };
    return this.writes.object(poolModel, write, terms, answer);
  }

  patch(id: string, input: PatchPoolInput, terms: Terms): Promise<Written> {
    const asked = [id, input];
    const target = { type: 'pool', id };
    const work = (tx: EntityManager): Promise<void> => this.update(tx, id, input, terms.expected);
    return this.writes.object(poolModel, { kind: 'pool.update', target, asked, work }, terms);
  }

  private async insert(
    tx: EntityManager,
    id: string,
    { name, agentNetworks, outOfBand = {} }: CreatePoolInput,
  ): Promise<void> {
    await takingName(name, () =>
      tx.query(`insert into pool (id, name, agent_networks, out_of_band) values ($1, $2, $3, $4)`, [
        id,
        name,
        agentNetworks,
        JSON.stringify(outOfBand),
      ]),
    );
    await this.authorities.create(tx, id);
    const object = { type: 'pool', id };
    await appendEvent(tx, { type: 'pool.created', object, poolId: id, changes: { name, agentNetworks } });
  }

  private async update(
    tx: EntityManager,
    id: string,
    input: PatchPoolInput,
    expected: ExpectedRevision,
  ): Promise<void> {
    const row = await firstRowOf<{
      revision: number;
      name: string;
      agentNetworks: string[];
      outOfBand: Partial<OutOfBand>;
    }>(
      tx,
      `select revision, name, agent_networks as "agentNetworks", out_of_band as "outOfBand"
         from pool where id = $1 for update`,
      [id],
    );
    if (!row) throw poolNotFound(`There is no pool ${id}.`);
    matchRevision(expected, row.revision, true);
    const { name = row.name, agentNetworks = row.agentNetworks } = input;
    // A patch that changes nothing counts as none.
    const outOfBand = { ...row.outOfBand, ...input.outOfBand };
    if (isDeepStrictEqual([name, agentNetworks, outOfBand], [row.name, row.agentNetworks, row.outOfBand]))
      return;
    await takingName(name, () =>
      tx.query(
        `update pool set name = $2, agent_networks = $3, out_of_band = $4,
           revision = revision + 1, updated_at = now() where id = $1`,
        [id, name, agentNetworks, JSON.stringify(outOfBand)],
      ),
    );
    const changes = { ...input, revision: row.revision + 1 };
    await appendEvent(tx, { type: 'pool.updated', object: { type: 'pool', id }, poolId: id, changes });
  }
}

async function takingName(name: string, write: () => Promise<unknown>): Promise<void> {
  try {
    await write();
  } catch (error) {
    if (violates(error, 'pk_pool')) throw poolExists('There is already a pool with this id.');
    if (violates(error, 'ix_pool_name')) throw poolExists(`There is already a pool named ${name}.`);
    throw error;
  }
}
