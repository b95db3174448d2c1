import { z } from 'zod';
import {
  fileNotFound,
  hostUnreachable,
  pathOutsideRepository,
  requestInvalid,
} from '../../../kernel/errors/problems.js';
import { volumeInUse } from '../../../agent-contract/index.js';
import { firstRowOf, rowsOf } from '../../../kernel/database/sql.js';
import { appendEvent } from '../../../kernel/events/append-event.js';
import { defineOperation } from '../../../kernel/operations/define-operation.js';
import { exclusive } from '../../../kernel/operations/locks.js';
import { newId, uuid } from '../../../kernel/schema/values.js';
import { networkNotFound } from '../../network/index.js';
import { poolNotFound, requirePool } from '../../pool/index.js';
import {
  checkBootFiles,
  keepBootRepositories,
  type NamedFile,
  repositoryNotFound,
  volumeNotFound,
} from '../../storage/index.js';
import { writeDisks, writeNics } from '../devices.js';
import { refuseControlDomain } from '../../host/index.js';
import { domainExists, domainIsControlDomain, nicMacTaken } from '../domain.errors.js';
import { findDomain } from '../domain.rows.js';
import { type Boot, createDomainInput } from '../domain.schema.js';
import { type DomainServices } from './services.js';

export const bootFiles = (boot: Boot): NamedFile[] =>
  'kernel' in boot
    ? [
        { ...boot.kernel, field: 'boot.kernel' },
        ...(boot.initramfs ? [{ ...boot.initramfs, field: 'boot.initramfs' }] : []),
      ]
    : [];

/**
 * Enters a halted domain in the inventory. Nothing is done on a host, so it has succeeded once it is accepted; its
 * boot files are looked at before, by the agent of a host that reaches them.
 */
export const createDomain = defineOperation({
  name: 'domain.create',
  input: createDomainInput.extend({ id: uuid }),
  role: 'vm-admin',
  errors: [
    requestInvalid,
    poolNotFound,
    repositoryNotFound,
    volumeNotFound,
    networkNotFound,
    domainExists,
    domainIsControlDomain,
    pathOutsideRepository,
    fileNotFound,
    hostUnreachable,
    volumeInUse,
    nicMacTaken,
  ],
  steps: [],
  deadlineMs: 60_000,
  target: ({ id }) => ({ type: 'domain', id }),
  locks: ({ id }) => [exclusive('domain', id)],
  check: async ({ links, entities }: DomainServices, { id, poolId, boot }) => {
    // Told whoever holds that domain just now: its locks are not ours to be refused by.
    if (await findDomain(entities, id)) throw domainExists(`There is already a domain ${id}.`);
    await refuseControlDomain(entities, id);
    await requirePool(entities, poolId);
    await checkBootFiles(entities, links, poolId, bootFiles(boot));
  },
  accept: async (tx, input, { operationId }) => {
    const { id, poolId, name, vcpus, memoryBytes, virtualization, boot, autostart, onCrash, onReboot } =
      input;
    await requirePool(tx, poolId);
    await keepBootRepositories(tx, poolId, bootFiles(boot));
    const made = await firstRowOf(
      tx,
      // A pool without hosts is taken for what all the others are.
      // A deleted domain's id may be used again: hosts remember its generations, so the new one goes on counting.
      `insert into domain (id, pool_id, name, vcpus, memory_bytes, boot, autostart_policy, autostart_order,
              autostart_delay_seconds, on_crash, on_reboot, virtualization, simulated, generation)
       select $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12,
              coalesce(bool_or(simulated) filter (where pool_id = $2), bool_and(simulated), false),
              coalesce((select generation from retired_domain where id = $1), 0)
         from host
       on conflict (id) do nothing returning id`,
      [
        id,
        poolId,
        name,
        vcpus,
        memoryBytes,
        JSON.stringify(boot),
        autostart.policy,
        autostart.order,
        autostart.delaySeconds,
        onCrash,
        onReboot,
        virtualization,
      ],
    );
    if (!made) throw domainExists(`There is already a domain ${id}.`);
    await writeDisks(tx, { domainId: id, poolId }, input.disks);
    await writeNics(tx, { domainId: id, poolId }, input.nics);
    for (const { kind } of input.consoles) {
      await rowsOf(tx, `insert into console (id, domain_id, kind) values ($1, $2, $3)`, [newId(), id, kind]);
    }
    await appendEvent(tx, {
      type: 'domain.created',
      object: { type: 'domain', id },
      poolId,
      operationId,
      changes: { name, state: 'halted' },
    });
    return { poolId, plan: { domainId: id } };
  },
});

export type CreateDomain = z.output<(typeof createDomain)['input']>;
