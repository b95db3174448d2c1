import {
  blockerSql,
  blockersSql,
  literal,
  type Reason,
  remediesSql,
  remedySql,
  stateReason,
  type StateReason,
  type VerbReasons,
} from '../../kernel/database/reason.js';
import { capabilityAbsent, hostUnreachable } from '../../kernel/errors/problems.js';
import { busyReason, firmReason } from '../../kernel/operations/busy.js';
import { hostAwaySql } from '../host/index.js';
import { heldReason, missingReason } from '../storage/index.js';
import { domainBadState, domainOvertakenGuest, hostMemoryInsufficient } from './domain.errors.js';
import { type DomainAction, type DomainState, domainState } from './domain.schema.js';
import { allowedStates, type DomainVerb, livingStates, waysFrom } from './domain.states.js';

const among = (states: readonly DomainState[]): string => states.map(literal).join(', ');

/** The table of states as reasons. */
export const badStateOf: Readonly<Record<DomainVerb, StateReason<DomainState>>> = Object.fromEntries(
  Object.entries(allowedStates).map(([verb, allowed]) => [
    verb,
    stateReason({
      problem: domainBadState,
      type: 'domain',
      states: domainState.options,
      allowed,
      say: (state) => ({
        detail: `The domain is ${state}.`,
        clearedBy: `The domain becomes ${allowed.join(' or ')}.`,
        remedies: waysFrom(state, allowed),
      }),
    }),
  ]),
) as Record<DomainVerb, StateReason<DomainState>>;

/** The guest lives on a host that does not answer. One that stopped a moment ago is found by asking it, which the verb does. */
export const hostAway: Reason = {
  problem: hostUnreachable,
  blockers: (t) =>
    `case when ${t}.state in (${among(livingStates)}) then ${blockersSql(
      hostAwaySql('h'),
      'h.id',
      `host h where h.id = ${t}.host_id and h.state <> 'online'`,
    )} end`,
};

/** Said to live, and nobody knows where: after a copy of the database was restored. */
export const nowhere: Reason = {
  problem: domainBadState,
  blockers: (t) =>
    `case when ${t}.host_id is null and ${t}.state in (${among(livingStates)}) then json_build_array(${blockerSql(
      {
        code: domainBadState.code,
        detail: literal('The domain is on no host.'),
        object: { type: `'domain'`, id: `${t}.id` },
        clearedBy: literal('Its host reports it.'),
        remedies: remediesSql(remedySql('answers')),
      },
    )}) end`,
};

/** What its guest gets and its host gives: what was asked for, rounded up to whole mebibytes. */
export const memoryNeededSql = (t: string): string => `(ceil(${t}.memory_bytes / 1048576.0) * 1048576)`;

/** Every host, and how much of its memory nobody has claimed. */
export const ROOMS = `select h.id, h.pool_id, h.name, h.epoch, h.state, h.simulated, h.capabilities, h.memory_bytes,
    h.memory_bytes - h.reserved_memory_bytes - h.promised_memory_bytes
      - coalesce((select sum(c.memory_bytes) from claim c where c.host_id = h.id), 0) as free_bytes
  from host h`;

const boots = (t: string, file: string): string => `${t}.boot #>> '{${file},repositoryId}'`;

/** Every repository that the domain needs is attached to the host `h`. */
const reachesStorageOf = (h: string, t: string): string =>
  `(not exists (select from disk k join volume v on v.id = k.volume_id where k.domain_id = ${t}.id and not exists (
      select from attachment a where a.host_id = ${h}.id and a.repository_id = v.repository_id and a.state = 'attached'))
    and (not ${t}.boot ? 'kernel' or not exists (select from unnest(array[${boots(t, 'kernel')}, ${boots(t, 'initramfs')}]) as w(id)
      where w.id is not null and not exists (
        select from attachment a where a.host_id = ${h}.id and a.repository_id = w.id::uuid and a.state = 'attached'))))`;

/** The capabilities that a host must offer to run the domain, by name. */
const needsSql = (t: string): string =>
  `(select case when ${t}.boot ? 'kernel' then 'boot.direct' else 'boot.' || (${t}.boot ->> 'firmware') end as name
    union select 'virtualization.' || ${t}.virtualization where ${t}.virtualization <> 'auto'
    union select 'network.' || w.kind from nic n join network w on w.id = n.network_id where n.domain_id = ${t}.id
    union select 'disk.' || v.format from disk k join volume v on v.id = k.volume_id where k.domain_id = ${t}.id)`;

/** The same as `host.capabilities` is asked for them. */
export const neededSql = (t: string): string =>
  `(select jsonb_agg(jsonb_build_object('name', need.name)) from ${needsSql(t)} need)`;

/** The host `h` offers all that the domain needs. */
const offersSql = (h: string, t: string): string => `${h}.capabilities @> ${neededSql(t)}`;

const lacksSql = (h: string, t: string): string =>
  `(select string_agg(need.name, ', ' order by need.name) from ${needsSql(t)} need
     where not ${h}.capabilities @> jsonb_build_array(jsonb_build_object('name', need.name)))`;

const mayStart = (t: string): string => `${t}.state in (${among(allowedStates.start)})`;
/** What a host that was never reached offers, nobody knows. */
const reachingOf = (t: string): string =>
  `host_room h where h.pool_id = ${t}.pool_id and h.state <> 'enrolled' and ${reachesStorageOf('h', t)}`;
const roomsOf = (t: string): string =>
  `host_room h where h.pool_id = ${t}.pool_id and ${reachesStorageOf('h', t)} and (h.state = 'enrolled' or ${offersSql('h', t)})`;
const fits = (t: string): string =>
  `exists (select from host_room h where h.pool_id = ${t}.pool_id and h.state = 'online'
     and h.free_bytes >= ${memoryNeededSql(t)} and ${reachesStorageOf('h', t)} and ${offersSql('h', t)})`;

/** Hosts reach all its storage, and none of them offers all that it asks for. */
export const noneOffers: Reason = {
  problem: capabilityAbsent,
  shared: { host_room: ROOMS },
  blockers: (t) =>
    `case when ${mayStart(t)} and not ${fits(t)} and not exists (select from ${roomsOf(t)}) then ${blockersSql(
      blockerSql({
        code: capabilityAbsent.code,
        detail: `'Host ' || h.name || ' does not offer ' || ${lacksSql('h', t)} || '.'`,
        object: { type: `'host'`, id: 'h.id' },
        clearedBy: literal('The domain asks for something else, or the pool gets a host that offers it.'),
        remedies: remediesSql(
          remedySql('update', { type: `'domain'`, id: `${t}.id` }),
          remedySql('add_host', { type: `'pool'`, id: `${t}.pool_id` }),
        ),
      }),
      'h.name, h.id',
      `(select * from ${reachingOf(t)} order by h.name, h.id limit 100) h`,
    )} end`,
};

/** No host that reaches all its storage is online. Looked for only where nothing fits, since that costs most. */
export const noHost: Reason = {
  problem: hostUnreachable,
  shared: { host_room: ROOMS },
  blockers: (t) =>
    `case when ${mayStart(t)} and not ${fits(t)} and not exists (select from ${roomsOf(t)} and h.state = 'online') then
      coalesce(${blockersSql(hostAwaySql('h'), 'h.name, h.id', `(select * from ${roomsOf(t)} order by h.name, h.id limit 100) h`)},
        json_build_array(${blockerSql({
          code: hostUnreachable.code,
          detail: literal('No host of the pool reaches all storage of the domain.'),
          object: { type: `'pool'`, id: `${t}.pool_id` },
          clearedBy: literal('Its storage repositories are attached to one host, or the pool gets a host.'),
          remedies: remediesSql(
            remedySql('attach'),
            remedySql('add_host', { type: `'pool'`, id: `${t}.pool_id` }),
          ),
        })})) end`,
};

export const noMemory: Reason = {
  problem: hostMemoryInsufficient,
  shared: { host_room: ROOMS },
  blockers: (t) =>
    `case when ${mayStart(t)} and not ${fits(t)} then ${blockersSql(
      blockerSql({
        code: hostMemoryInsufficient.code,
        detail: `h.name || ' has ' || greatest(0, h.free_bytes) || ' of ' || h.memory_bytes || ' bytes free.'`,
        object: { type: `'host'`, id: 'h.id' },
        clearedBy: literal('Shut down or move domains, or add a host.'),
        remedies: remediesSql(
          remedySql('free', { type: `'host'`, id: 'h.id' }),
          remedySql('add_host', { type: `'pool'`, id: `${t}.pool_id` }),
        ),
      }),
      'h.name, h.id',
      `(select * from ${roomsOf(t)} and h.state = 'online' order by h.name, h.id limit 100) h`,
    )} end`,
};

/** While an older run of it is known to live anywhere, no other one begins. */
export const overtakenGuest: Reason = {
  problem: domainOvertakenGuest,
  blockers: (t) =>
    blockersSql(
      blockerSql({
        code: domainOvertakenGuest.code,
        detail: `'Generation ' || g.generation || ' of it lives on host ' || h.name || '.'`,
        object: { type: `'host'`, id: 'h.id' },
        clearedBy: `case g.reaction when 'ending' then ${literal('It is ended as soon as its host can be reached.')}
          else ${literal("It ends, or the pool's policy for running guests is revert: then it is ended.")} end`,
        remedies: `case g.reaction when 'ending' then ${remediesSql(remedySql('answers', { type: `'host'`, id: 'h.id' }))}
          else ${remediesSql(
            remedySql('state_changes', { type: `'domain'`, id: `${t}.id` }),
            remedySql('update', { type: `'pool'`, id: `${t}.pool_id` }),
          )} end`,
      }),
      'h.id',
      `overtaken_guest g join host h on h.id = g.host_id where g.domain_id = ${t}.id`,
    ),
};

const busy = busyReason('domain', 'exclusive');
const hostBusy = busyReason('host', 'shared', (t) => `${t}.host_id`);

/** A verb on a guest that lives. */
const onGuest = (verb: DomainVerb): readonly Reason[] => [
  hostAway,
  busy,
  badStateOf[verb],
  nowhere,
  hostBusy,
];

/** Whoever ends a guest or presses its reset button waits for nobody but those that may not be ended where they stand. */
const firm = firmReason('domain', 'exclusive');

/** A domain that is being started has a host and no guest yet: that start can be ended as well. */
const badStateForForce: Reason = {
  problem: domainBadState,
  blockers: (t) => `case when ${t}.host_id is null then ${badStateOf.force_off.blockers(t)} end`,
};

const cannotReset: Reason = {
  problem: capabilityAbsent,
  blockers: (t) =>
    blockersSql(
      blockerSql({
        code: capabilityAbsent.code,
        detail: `'Host ' || h.name || ' does not offer domain.reset.'`,
        object: { type: `'host'`, id: 'h.id' },
        clearedBy: literal('It runs on another host.'),
        remedies: remediesSql(remedySql('ask_otherwise')),
      }),
      'h.id',
      `host h where h.id = ${t}.host_id and not h.capabilities @> '[{"name": "domain.reset"}]'`,
    ),
};

/** In the order in which the verbs ask. */
export const domainReasons: VerbReasons<DomainAction> = {
  update: [],
  reconfigure: [busy, badStateOf.reconfigure],
  start: [busy, badStateOf.start, overtakenGuest, noneOffers, noHost, noMemory, missingReason, heldReason],
  shutdown: onGuest('shutdown'),
  reboot: onGuest('reboot'),
  pause: onGuest('pause'),
  resume: onGuest('resume'),
  reset: [hostAway, firm, badStateOf.reset, nowhere, hostBusy, cannotReset],
  forceOff: [hostAway, firm, badStateForForce, nowhere, hostBusy],
  delete: [busy, badStateOf.delete, overtakenGuest],
};
