import { type EntityManager } from 'typeorm';
import { domainIsControlDomain } from '../../agent-contract/index.js';
import { blockerSql, literal, remediesSql, remedySql } from '../../kernel/database/reason.js';
import { rowsOf } from '../../kernel/database/sql.js';
import { capabilityAbsent } from '../../kernel/errors/problems.js';
import { type RemedyAct, remedyOf } from '../../kernel/errors/remedies.js';
import { type ControlDomainAction } from './host.schema.js';

/** Xen's word for a control domain to which nobody has given an id of its own. */
const NOBODYS_ID = '00000000-0000-0000-0000-000000000000';
const NAMED = 20;

const refusals: Readonly<
  Record<
    ControlDomainAction,
    { readonly code: string; readonly detail: string; readonly clearedBy: string; readonly act: RemedyAct }
  >
> = {
  adjust: {
    code: capabilityAbsent.code,
    detail: 'Domus shows the memory and the vCPUs of a control domain, and does not change them yet.',
    clearedBy:
      'Change them on the host: xl mem-set, xl vcpu-set. What they are then is seen within a minute.',
    act: 'ask_otherwise',
  },
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

/** Of the host `t`: its control domain as people are shown it, with why each verb that they may look for is refused. */
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
  if (hosts.length === 0 && domainId !== NOBODYS_ID) return;
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
