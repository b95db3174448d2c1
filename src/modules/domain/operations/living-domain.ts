import { type EntityManager } from 'typeorm';
import { capabilityAbsent, domainBadState } from '../../../agent-contract/index.js';
import { type HostLink } from '../../../host-link/host-link.js';
import { refusalOf } from '../../../kernel/database/reason.js';
import { firstRowOf } from '../../../kernel/database/sql.js';
import { type Acceptance } from '../../../kernel/operations/define-operation.js';
import { type Blocker } from '../../../kernel/errors/problem.js';
import { hostUnreachable } from '../../../kernel/errors/problems.js';
import { shared } from '../../../kernel/operations/locks.js';
import { type ExpectedRevision } from '../../../kernel/schema/revision.js';
import { hostAwaySql } from '../../host/index.js';
import { nowhere } from '../domain.reasons.js';
import { lockDomainFor } from '../domain.rows.js';
import { type DomainVerb, livingStates } from '../domain.states.js';
import { answers } from '../placement.js';
import { type Because, noteAsked } from '../reconcile/asked.js';
import { type DomainPlan } from './services.js';

/**
 * Before a verb on a guest is promised: its host is there to be asked. The state stream takes ten seconds to miss a host,
 * and nobody should wait that long to hear that nothing will happen. A domain that has no guest is for `accept` to refuse.
 */
export async function askItsHost(entities: EntityManager, links: HostLink, domainId: string): Promise<void> {
  const row = await firstRowOf<{ hostId: string; away: Blocker }>(
    entities,
    `select h.id as "hostId", ${hostAwaySql('h')} as away from domain d join host h on h.id = d.host_id
      where d.id = $1 and d.state = any($2)`,
    [domainId, livingStates],
  );
  if (row && !(await answers(links, row.hostId, domainId)))
    throw hostUnreachable('The host of the domain does not answer; the guest goes on.', {
      blockers: [row.away],
    });
}

/** Refuses before anything has begun what this host cannot do. */
export async function requireCapability(tx: EntityManager, hostId: string, name: string): Promise<void> {
  const host = await firstRowOf<{ name: string }>(
    tx,
    `select name from host where id = $1 and not capabilities @> jsonb_build_array(jsonb_build_object('name', $2::text))`,
    [hostId, name],
  );
  if (host) throw capabilityAbsent(`Host ${host.name} does not offer ${name}.`);
}

/** Accepts a verb on a guest that lives: it stays on its host and in its generation. */
export async function acceptOnLiving<Extra extends object>(
  tx: EntityManager,
  domainId: string,
  verb: DomainVerb,
  expected: ExpectedRevision,
  extra: Extra,
  by: { readonly operationId: string; readonly because?: Because | undefined },
): Promise<Acceptance<DomainPlan & Extra>> {
  const domain = await lockDomainFor(tx, domainId, verb, expected);
  const host =
    domain.hostId &&
    (await firstRowOf<{ epoch: number }>(tx, `select epoch from host where id = $1 for key share`, [
      domain.hostId,
    ]));
  if (!domain.hostId || !host)
    throw domainBadState(
      `${domain.name} is ${domain.state}, and on no host.`,
      (await refusalOf(tx, 'domain', domainId, [nowhere])) ?? {},
    );
  await noteAsked(tx, domainId, verb, by);
  return {
    poolId: domain.poolId,
    moreLocks: [shared('host', domain.hostId)],
    plan: {
      domainId,
      hostId: domain.hostId,
      hostEpoch: host.epoch,
      generation: domain.generation,
      desiredBefore: domain.desiredState,
      ...extra,
    },
  };
}
