import { type EntityManager } from 'typeorm';
import { domainBadState } from '../../../agent-contract/index.js';
import { firstRowOf } from '../../../kernel/database/sql.js';
import { type Acceptance } from '../../../kernel/operations/define-operation.js';
import { shared } from '../../../kernel/operations/locks.js';
import { type ExpectedRevision } from '../../../kernel/schema/revision.js';
import { lockDomainFor } from '../domain.rows.js';
import { type DomainVerb } from '../domain.states.js';
import { type DomainPlan } from './services.js';

/** Accepts a verb on a guest that lives: it stays on its host and in its generation. */
export async function acceptOnLiving<Extra extends object>(
  tx: EntityManager,
  domainId: string,
  verb: DomainVerb,
  expected: ExpectedRevision,
  extra: Extra,
): Promise<Acceptance<DomainPlan & Extra>> {
  const domain = await lockDomainFor(tx, domainId, verb, expected);
  const host =
    domain.hostId &&
    (await firstRowOf<{ epoch: number }>(tx, `select epoch from host where id = $1`, [domain.hostId]));
  if (!domain.hostId || !host) throw domainBadState(`${domain.name} is ${domain.state}, and on no host.`);
  return {
    poolId: domain.poolId,
    moreLocks: [shared('host', domain.hostId)],
    plan: { domainId, hostId: domain.hostId, hostEpoch: host.epoch, generation: domain.generation, ...extra },
  };
}
