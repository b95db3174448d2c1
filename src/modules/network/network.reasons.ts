import {
  blockerSql,
  blockersSql,
  literal,
  type Reason,
  remediesSql,
  remedySql,
  type VerbReasons,
} from '../../kernel/database/reason.js';
import { busyReason } from '../../kernel/operations/busy.js';
import { networkInUse } from './network.errors.js';
import { type NetworkAction } from './network.schema.js';

/** Cards are on the network. The rows are another module's, which stands above; its foreign key says the same. */
export const inUse: Reason = {
  problem: networkInUse,
  blockers: (t) =>
    blockersSql(
      blockerSql({
        code: networkInUse.code,
        detail: `'Domain ' || d.name || ' has a card on it.'`,
        object: { type: `'domain'`, id: 'd.id' },
        clearedBy: literal('Delete the domain, or move its card to another network.'),
        remedies: remediesSql(
          remedySql('update', { type: `'domain'`, id: 'd.id' }),
          remedySql('delete', { type: `'domain'`, id: 'd.id' }),
        ),
      }),
      'd.name, d.id',
      `(select distinct d.id, d.name from nic n join domain d on d.id = n.domain_id
         where n.network_id = ${t}.id order by d.name, d.id limit 100) d`,
    ),
};

/** In the order in which the verbs ask. */
export const networkReasons: VerbReasons<NetworkAction> = {
  update: [],
  delete: [busyReason('network', 'exclusive'), inUse],
};
