import { type EntityManager } from 'typeorm';
import { domainIsControlDomain, unnamedControlDomain } from '../../agent-contract/index.js';
import { blockerSql, literal, type Reason, remediesSql, remedySql } from '../../kernel/database/reason.js';
import { rowsOf } from '../../kernel/database/sql.js';
import { capabilityAbsent, hostUnreachable } from '../../kernel/errors/problems.js';
import { type RemedyAct, remedyOf } from '../../kernel/errors/remedies.js';
import { busyReason } from '../../kernel/operations/busy.js';
import { hostAwaySql } from './host.reasons.js';
import { type ControlDomainAction } from './host.schema.js';

const NAMED = 20;

const CAPABILITY = 'control_domain.adjust';

const absent: Reason = {
  problem: capabilityAbsent,
  blockers: (t) =>
    `case when not ${t}.capabilities @> '[{"name": "${CAPABILITY}"}]'::jsonb then json_build_array(${blockerSql(
      {
        code: capabilityAbsent.code,
        detail: literal(`The host does not offer ${CAPABILITY}.`),
        object: { type: literal('host'), id: `${t}.id` },
        clearedBy: literal('Change it on the host. What it is then is seen within a minute.'),
        remedies: remediesSql(remedySql('ask_otherwise')),
      },
    )}) end`,
};
const away: Reason = {
  problem: hostUnreachable,
  blockers: (t) => `case when ${t}.state <> 'online' then json_build_array(${hostAwaySql(t)}) end`,
};

/** Why its size cannot be changed now, in the order in which the verb asks. */
export const adjustReasons: readonly Reason[] = [absent, away];
/** The verb finds these when it takes its locks. */
const busyReasons = [busyReason('control_domain', 'exclusive'), busyReason('host', 'shared')];

const refusals: Readonly<
  Record<
    Exclude<ControlDomainAction, 'adjust'>,
    { readonly code: string; readonly detail: string; readonly clearedBy: string; readonly act: RemedyAct }
  >
> = {
  stop: {
    code: domainIsControlDomain.code,
    detail: 'The host and its agent end with it.',
    clearedBy: 'Nothing. To switch the machine off is for the machine itself.',
    act: 'nothing',
  },
  migrate: {
    code: domainIsControlDomain.code,
    detail: 'It is a part of this machine.',
    clearedBy: 'Nothing.',
    act: 'nothing',
  },
};

/** Of the host `t`: its control domain as people are shown it, with what may be done with it, and why the rest is refused. */
export const controlDomainSql = (t: string): string => {
  const actions = Object.entries(refusals).map(([name, { code, detail, clearedBy, act }]) => {
    const object = { type: literal('host'), id: `${t}.id` };
    const blocker = blockerSql({
      code,
      detail: literal(detail),
      object,
      clearedBy: literal(clearedBy),
      remedies: remediesSql(remedySql(act)),
    });
    return `${literal(name)}, json_build_object('allowed', false, 'blockers', json_build_array(${blocker}))`;
  });
  const blockers = [...busyReasons, ...adjustReasons].map((reason) => reason.blockers(t)).join(', ');
  const adjust = `(select case when b.found is null then json_build_object('allowed', true, 'blockers', json_build_array())
      else json_build_object('allowed', false, 'blockers', b.found) end
    from (select coalesce(null::json, ${blockers}) as found offset 0) b)`;
  actions.unshift(`'adjust', ${adjust}`);
  const reported = ['id', 'memoryBytes', 'vcpus'].map(
    (name) => `${literal(name)}, ${t}.control_domain->${literal(name)}`,
  );
  return `case when ${t}.control_domain is not null then
    json_build_object(${[...reported, `'actions', json_build_object(${actions.join(', ')})`].join(', ')}) end`;
};

/**
 * `domain.control_domain`, naming the hosts, if a control domain has this id: for whoever finds no domain of that id, or is about
 * to make one.
 */
export async function refuseControlDomain(tx: EntityManager, domainId: string): Promise<void> {
  const hosts = await rowsOf<{ id: string; name: string }>(
    tx,
    `select id, name from host where control_domain->>'id' = $1 order by name, id limit ${NAMED}`,
    [domainId],
  );
  if (hosts.length === 0 && domainId !== unnamedControlDomain) return;
  throw domainIsControlDomain(
    hosts.length === 0
      ? 'It is the id of control domains of Xen.'
      : 'It is a control domain: the host shows it, and no verb of a domain is for it.',
    {
      blockers: hosts.map(({ id, name }) => ({
        code: domainIsControlDomain.code,
        detail: `It is the control domain of ${name}.`,
        object: { type: 'host', id },
        operationId: null,
        clearedBy: null,
        remedies: [remedyOf('nothing')],
      })),
    },
  );
}
