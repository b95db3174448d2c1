import { type EntityManager } from 'typeorm';
import { type VolumeFormat } from '../../agent-contract/index.js';
import { refusalOf } from '../../kernel/database/reason.js';
import { firstRowOf, rowsOf } from '../../kernel/database/sql.js';
import { type ExpectedRevision, matchRevision } from '../../kernel/schema/revision.js';
import { refuseControlDomain } from '../host/index.js';
import { domainBadState, domainNotFound } from './domain.errors.js';
import { badStateOf, memoryNeededSql, overtakenGuest } from './domain.reasons.js';
import {
  type Autostart,
  type Boot,
  type DesiredState,
  type DomainState,
  type OnCrash,
  type OnReboot,
  type Virtualization,
} from './domain.schema.js';
import { type DomainVerb, allowedStates, livingStates, mayBegin } from './domain.states.js';

export interface DomainRow {
  id: string;
  poolId: string;
  hostId: string | null;
  lastHostId: string | null;
  name: string;
  vcpus: number;
  /** What its guest gets and its host gives: what was asked for, rounded up to whole mebibytes. */
  memoryBytes: number;
  virtualization: Virtualization;
  boot: Boot;
  state: DomainState;
  stateReason: string | null;
  generation: number;
  revision: number;
  simulated: boolean;
  /** Milliseconds since 1970 by the host's clock. */
  stateSince: number | null;
  desiredState: DesiredState;
  autostart: Autostart;
  onCrash: OnCrash;
  onReboot: OnReboot;
}

export interface DiskRow {
  id: string;
  volumeId: string;
  volumeName: string;
  repositoryId: string;
  format: VolumeFormat;
  bus: 'virtio';
  readOnly: boolean;
}

export interface NicRow {
  id: string;
  networkId: string;
  networkKind: 'user';
  mac: string;
  model: 'virtio';
}

export const autostartSql = (t: string): string =>
  `json_build_object('policy', ${t}.autostart_policy, 'order', ${t}.autostart_order, 'delaySeconds', ${t}.autostart_delay_seconds)`;

const COLUMNS = `id, pool_id as "poolId", host_id as "hostId", last_host_id as "lastHostId", name, vcpus,
  ${memoryNeededSql('domain')}::float8 as "memoryBytes", virtualization, boot, state, state_reason as "stateReason", generation, revision, simulated,
  (extract(epoch from state_since) * 1000)::float8 as "stateSince", desired_state as "desiredState",
  ${autostartSql('domain')} as autostart, on_crash as "onCrash", on_reboot as "onReboot"`;

/** The domain's row, locked until the transaction ends: whoever changes a domain's state goes through here. */
export async function lockDomain(tx: EntityManager, id: string): Promise<DomainRow> {
  const row = await findAndLockDomain(tx, id);
  return row ?? refuseMissing(tx, id);
}

/** For reads before a transaction; `domain.not_found`. */
export async function requireDomain(tx: EntityManager, id: string): Promise<DomainRow> {
  const row = await findDomain(tx, id);
  return row ?? refuseMissing(tx, id);
}

/** It may be a host's own: then no verb is for it, and that is said. */
async function refuseMissing(tx: EntityManager, id: string): Promise<never> {
  await refuseControlDomain(tx, id);
  throw domainNotFound(`There is no domain ${id}.`);
}

export const findDomain = (tx: EntityManager, id: string): Promise<DomainRow | undefined> =>
  firstRowOf<DomainRow>(tx, `select ${COLUMNS} from domain where id = $1`, [id]);

export const findAndLockDomain = (tx: EntityManager, id: string): Promise<DomainRow | undefined> =>
  firstRowOf<DomainRow>(tx, `select ${COLUMNS} from domain where id = $1 for update`, [id]);

/** It has a host and no guest yet, or none any more: an operation is about to start it there, or to tidy up. */
export const isBeingStarted = ({ state, hostId }: Pick<DomainRow, 'state' | 'hostId'>): boolean =>
  hostId !== null && !livingStates.includes(state);

/**
 * The row of a domain whose state lets the verb begin; `domain.bad_state` otherwise, naming the states that would. A caller
 * who named a revision is refused first: what he saw is no longer so.
 */
export async function lockDomainFor(
  tx: EntityManager,
  id: string,
  verb: DomainVerb,
  expected: ExpectedRevision,
): Promise<DomainRow> {
  const row = await lockDomain(tx, id);
  matchRevision(expected, row.revision);
  if (!mayBegin(verb, row.state) && !(verb === 'force_off' && isBeingStarted(row))) throw badState(row, verb);
  return row;
}

/** While an older run of it is known to live anywhere. */
export async function refuseWhileOvertaken(
  tx: EntityManager,
  { id, name }: Pick<DomainRow, 'id' | 'name'>,
): Promise<void> {
  const refusal = await refusalOf(tx, 'domain', id, [overtakenGuest]);
  if (refusal) throw refusal.problem(`An older run of ${name} lives on a host.`, refusal);
}

export const badState = (row: Pick<DomainRow, 'id' | 'name' | 'state' | 'hostId'>, verb: DomainVerb) =>
  domainBadState(`${row.name} is ${row.state}; ${verb} needs ${allowedStates[verb].join(' or ')}.`, {
    blockers: [badStateOf[verb].blocker(row)],
  });

export const disksOf = (tx: EntityManager, domainId: string): Promise<DiskRow[]> =>
  rowsOf<DiskRow>(
    tx,
    `select d.id, d.volume_id as "volumeId", v.name as "volumeName", v.repository_id as "repositoryId", v.format, d.bus, d.read_only as "readOnly"
       from disk d join volume v on v.id = d.volume_id where d.domain_id = $1 order by d.position`,
    [domainId],
  );

/** Its cards and its consoles. */
export async function cardsOf(
  tx: EntityManager,
  domainId: string,
): Promise<{ nics: NicRow[]; consoles: { id: string; kind: 'serial' }[] }> {
  const row = await firstRowOf<{ nics: NicRow[]; consoles: { id: string; kind: 'serial' }[] }>(
    tx,
    `select (select coalesce(json_agg(json_build_object('id', n.id, 'networkId', n.network_id, 'networkKind', w.kind,
                       'mac', n.mac, 'model', n.model) order by n.position), '[]')
               from nic n join network w on w.id = n.network_id where n.domain_id = $1) as nics,
            (select coalesce(json_agg(json_build_object('id', c.id, 'kind', c.kind)), '[]')
               from console c where c.domain_id = $1) as consoles`,
    [domainId],
  );
  return row ?? { nics: [], consoles: [] };
}
