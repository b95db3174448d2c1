import { z } from 'zod';
import { volumeFormat as contractFormat } from '../../agent-contract/index.js';
import { actionsOf } from '../../kernel/schema/action.js';
import { bytes, instant, objectName, uuid } from '../../kernel/schema/values.js';

export const repositoryKind = z
  .enum(['directory'])
  .describe('`directory`: a folder of a host.')
  .meta({ id: 'StorageRepositoryKind' });
export const storageState = z.enum(['creating', 'ready', 'deleting']).meta({ id: 'StorageState' });
export const volumeState = z
  .enum(['creating', 'ready', 'missing', 'deleting'])
  .meta({ id: 'VolumeState' })
  .describe(
    '`missing`: its bytes are gone from the repository, by another hand. No domain can start with it until they are back.',
  );
export const attachmentState = z
  .enum(['detached', 'attached', 'unavailable'])
  .meta({ id: 'AttachmentState' });
export const volumeFormat = contractFormat.meta({ id: 'VolumeFormat' });

const folder = z
  .string()
  .min(2)
  .max(1024)
  .regex(/^\/[^\p{Cc}]*$/u, 'must be an absolute path without control characters')
  .refine((path) => path.split('/').every((part) => part !== '..' && part !== '.'), 'must not hold . or ..')
  .refine((path) => /[^/]/.test(path), 'must not be the root of the file system');

/** One way to write a folder, so that the same one is known again. */
export const plainFolder = (path: string): string => path.replace(/\/+/g, '/').replace(/(.)\/$/, '$1');

/** Disks are made of sectors of 512 bytes. */
export const wholeSectors = (sizeBytes: number): number => Math.ceil(sizeBytes / 512) * 512;

export const attachment = z
  .object({
    id: uuid,
    hostId: uuid,
    path: z.string().describe('The folder on that host.'),
    state: attachmentState,
    capacityBytes: bytes.nullable(),
    freeBytes: bytes.nullable(),
    observedAt: instant.nullable().describe('When the host said so.'),
  })
  .meta({ id: 'Attachment', description: 'A storage repository as one host reaches it.' });

const storageActions = { update: '`PATCH`', delete: '`DELETE`' };
export type StorageAction = keyof typeof storageActions;

export const storageRepository = z
  .object({
    id: uuid,
    name: objectName,
    poolId: uuid,
    kind: repositoryKind,
    state: storageState,
    path: z.string().describe('The folder that was asked for.'),
    shared: z.boolean().describe('Whether it is the same storage on every host where it is attached.'),
    capacityBytes: bytes.nullable().describe('As last seen by any of its hosts.'),
    freeBytes: bytes.nullable(),
    attachments: z.array(attachment),
    executorHostId: uuid
      .nullable()
      .describe(
        'The one host that works on its idle volumes. While it is away no other one does, until it is declared dead. ' +
          'Null: none has had to yet, or the one that did was declared dead.',
      ),
    revision: z.int().describe('Counts the changes of what clients write; the ETag.'),
    createdAt: instant,
    updatedAt: instant,
    actions: actionsOf('StorageRepository', storageActions),
  })
  .meta({
    id: 'StorageRepository',
    description: 'A place for volumes, and for files that domains boot from.',
  });

export const createStorageRepositoryInput = z
  .strictObject({
    id: uuid.optional().describe('Chosen by the client, or made.'),
    name: objectName,
    poolId: uuid,
    kind: repositoryKind.default('directory'),
    path: folder.describe(
      'Absolute path of the folder. What is in it already stays, and may be booted from.',
    ),
    create: z.boolean().default(false).describe('Make the folder if it is not there.'),
    hostId: uuid
      .optional()
      .describe("The host whose folder it is. When absent: the pool's only online host."),
    shared: z
      .boolean()
      .default(false)
      .describe(
        'The folder is the same storage on every host (a network file system, mounted at this path): ' +
          'it is attached to every online host of the pool, each of which is checked to see the same one.',
      ),
  })
  .meta({ id: 'CreateStorageRepositoryInput' });

export const patchStorageRepositoryInput = z
  .strictObject({ name: objectName })
  .partial()
  .meta({ id: 'PatchStorageRepositoryInput' });

export const volume = z
  .object({
    id: uuid,
    name: objectName,
    poolId: uuid,
    repositoryId: uuid,
    format: volumeFormat,
    sizeBytes: bytes.describe('As the guest sees it.'),
    allocatedBytes: bytes.nullable().describe('What it took of the repository when a host last looked.'),
    state: volumeState,
    domainIds: z.array(uuid).describe('The domains to which it is attached as a disk.'),
    revision: z.int().describe('Counts the changes of what clients write; the ETag.'),
    createdAt: instant,
    updatedAt: instant,
    actions: actionsOf('Volume', storageActions),
  })
  .meta({ id: 'Volume', description: 'A virtual disk.' });

export const createVolumeInput = z
  .strictObject({
    id: uuid.optional().describe('Chosen by the client, or made.'),
    name: objectName,
    repositoryId: uuid,
    format: volumeFormat.default('raw').describe('qcow2 needs qemu-img on the host; raw needs nothing.'),
    sizeBytes: bytes
      .min(512)
      .max(2 ** 50)
      .describe('Rounded up to whole sectors of 512 bytes. All of it must fit into what is free.'),
  })
  .meta({ id: 'CreateVolumeInput' });

export const patchVolumeInput = z
  .strictObject({ name: objectName })
  .partial()
  .meta({ id: 'PatchVolumeInput' });

export type StorageRepositoryKind = z.output<typeof repositoryKind>;
export type CreateStorageRepositoryInput = z.output<typeof createStorageRepositoryInput>;
export type PatchStorageRepositoryInput = z.output<typeof patchStorageRepositoryInput>;
export type CreateVolumeInput = z.output<typeof createVolumeInput>;
export type PatchVolumeInput = z.output<typeof patchVolumeInput>;
