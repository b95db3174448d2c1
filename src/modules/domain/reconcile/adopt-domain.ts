import { type EntityManager } from 'typeorm';
import { type DomainSpec, inspectVolume, type ObservedDomain } from '../../../agent-contract/index.js';
import { type HostLink } from '../../../host-link/host-link.js';
import { firstRowOf, rowsOf } from '../../../kernel/database/sql.js';
import { isProblem } from '../../../kernel/errors/problem.js';
import { appendEvent } from '../../../kernel/events/append-event.js';
import { adoptNetwork } from '../../network/index.js';
import { adoptRepository, adoptVolume, type HeldOnHost, keepHolds } from '../../storage/index.js';
import { autostart, type Boot, type OnCrash } from '../domain.schema.js';
import { livingStates } from '../domain.states.js';
import { asAsked } from './differences.js';

/** What a host holds of a domain, and finds of its volumes. */
export interface HeldDomain {
  readonly spec: DomainSpec;
  readonly volumes: readonly HeldOnHost[];
}

/** Asks the host for the bytes of each volume. A volume that cannot be judged is taken for missing, not for lost. */
export async function findVolumes(links: HostLink, hostId: string, spec: DomainSpec): Promise<HeldOnHost[]> {
  return Promise.all(
    spec.disks.map(async ({ volume }) => {
      const name = spec.kept?.volumes.find(({ id }) => id === volume.id)?.name ?? `adopted-${volume.id}`;
      try {
        const { found } = await links.call(hostId, inspectVolume, { volume });
        return { volume, name, found };
      } catch (error) {
        if (!isProblem(error) || error.code === 'host.unreachable') throw error;
        return { volume, name, found: null };
      }
    }),
  );
}

/**
 * Enters a domain that a host has and the inventory does not, as the host holds it: ids, name, disks, cards, consoles and
 * policies, and what it takes from its host while its guest lives. Repositories, volumes and networks that are not known
 * come with it; what the inventory knows otherwise (another pool's volume, a MAC address that is taken) is left out and named in
 * the event. False when the domain is known by now.
 */
export async function adoptDomain(
  tx: EntityManager,
  hostId: string,
  observed: ObservedDomain,
  held: HeldDomain,
): Promise<boolean> {
  const { spec } = held;
  const host = await firstRowOf<{ poolId: string; simulated: boolean }>(
    tx,
    `select pool_id as "poolId", simulated from host where id = $1 for key share`,
    [hostId],
  );
  if (!host) return false;
  const place = { hostId, poolId: host.poolId };
  if (!(await insertDomain(tx, place, host.simulated, observed, spec))) return false;
  const left: string[] = [];
  if (spec.boot.kind === 'direct')
    for (const file of [spec.boot.kernel, spec.boot.initramfs])
      if (file && !(await adoptRepository(tx, place, file.repository)))
        left.push(`repository ${file.repository.id}`);
  for (const [position, disk] of spec.disks.entries()) {
    const volume = held.volumes.find((one) => one.volume.id === disk.volume.id);
    if (volume && (await adoptVolume(tx, place, volume)))
      await rowsOf(
        tx,
        `insert into disk (id, domain_id, volume_id, position, bus, read_only) values ($1, $2, $3, $4, $5, $6)
         on conflict do nothing`,
        [disk.id, spec.id, disk.volume.id, position, disk.bus, disk.readOnly],
      );
    else left.push(`volume ${disk.volume.id}`);
  }
  for (const [position, nic] of spec.nics.entries()) {
    const made =
      (await adoptNetwork(tx, host.poolId, nic.network)) &&
      (await firstRowOf(
        tx,
        `insert into nic (id, domain_id, network_id, position, mac, model) values ($1, $2, $3, $4, $5, $6)
         on conflict do nothing returning id`,
        [nic.id, spec.id, nic.network.id, position, nic.mac, nic.model],
      ));
    if (!made) left.push(`card ${nic.mac}`);
  }
  for (const { id, kind } of spec.consoles)
    await rowsOf(tx, `insert into console (id, domain_id, kind) values ($1, $2, $3) on conflict do nothing`, [
      id,
      spec.id,
      kind,
    ]);
  if (livingStates.includes(observed.state)) {
    await rowsOf(
      tx,
      `insert into claim (domain_id, host_id, vcpus, memory_bytes) values ($1, $2, $3, $4) on conflict do nothing`,
      [spec.id, hostId, spec.vcpus, spec.memoryBytes],
    );
    await keepHolds(tx, hostId, spec.id);
  }
  await appendEvent(tx, {
    type: 'domain.created',
    object: { type: 'domain', id: spec.id },
    poolId: host.poolId,
    operationId: null,
    changes: {
      name: spec.name,
      state: observed.state,
      cause: 'adopted',
      hostId,
      generation: observed.generation,
      ...(left.length > 0 ? { leftOut: left } : {}),
    },
  });
  return true;
}

async function insertDomain(
  tx: EntityManager,
  { hostId, poolId }: { hostId: string; poolId: string },
  simulated: boolean,
  observed: ObservedDomain,
  spec: DomainSpec,
): Promise<boolean> {
  const { policy, order, delaySeconds } = autostart.parse(
    spec.kept?.autostart ?? { policy: 'as_before', order: 0, delaySeconds: 0 },
  );
  const made = await firstRowOf(
    tx,
    `insert into domain (id, pool_id, name, vcpus, memory_bytes, boot, simulated, state, state_reason, state_since, pid,
            observed_at, generation, host_id, last_host_id, desired_state, autostart_policy, autostart_order,
            autostart_delay_seconds, on_crash, on_reboot, virtualization)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, now(), $12, case when $13 then $14::uuid end, $14, $15, $16, $17,
             $18, $19, $20, $21)
     on conflict do nothing returning id`,
    [
      spec.id,
      poolId,
      spec.name,
      spec.vcpus,
      spec.memoryBytes,
      JSON.stringify(bootOf(spec.boot)),
      simulated,
      observed.state,
      observed.reason,
      observed.since,
      observed.pid,
      observed.generation,
      livingStates.includes(observed.state),
      hostId,
      asAsked(observed.state),
      policy,
      order,
      delaySeconds,
      (spec.kept?.onCrash ?? 'halt') satisfies OnCrash,
      spec.onReboot ?? 'reboot',
      spec.virtualization ?? 'auto',
    ],
  );
  return made !== undefined;
}

/** As clients write it: a repository by its id, not by where the host has it. */
function bootOf(boot: DomainSpec['boot']): Boot {
  if (boot.kind === 'firmware') return { firmware: boot.firmware, order: boot.order };
  const file = ({ repository, path }: NonNullable<typeof boot.initramfs>) => ({
    repositoryId: repository.id,
    path,
  });
  return {
    kernel: file(boot.kernel),
    initramfs: boot.initramfs && file(boot.initramfs),
    commandLine: boot.commandLine,
  };
}
