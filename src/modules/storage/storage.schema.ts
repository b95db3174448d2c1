import { z } from 'zod';
import { volumeFormat as contractFormat, type VolumeFormat } from '../../agent-contract/index.js';
import { type FieldError } from '../../kernel/errors/problem.js';
import { actionsOf } from '../../kernel/schema/action.js';
import { bytes, instant, objectName, uuid } from '../../kernel/schema/values.js';

export const repositoryKind = z
  .enum(['directory', 'lvm'])
  .describe(
    '`directory`: a folder of a host, for volumes and files. `lvm`: a volume group of a host, for raw volumes.',
  )
  .meta({ id: 'StorageRepositoryKind' });
export const storageState = z.enum(['creating', 'ready', 'deleting']).meta({ id: 'StorageState' });
export const volumeState = z
  .enum(['creating', 'ready', 'missing', 'deleting', 'abandoned'])
  .meta({ id: 'VolumeState' })
  .describe(
    '`missing`: its bytes are gone from the repository, by another hand. No domain can start with it until they are back. ' +
      '`abandoned`: its create ended before anybody knew what it had made, since its host was declared dead. The next host that works ' +
      'on the repository removes what there is, and the volume is gone.',
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

export const SECTOR_BYTES = 512;

/** The size as a whole number of units, rounded up. */
export const wholeUnits = (sizeBytes: number, unitBytes: number): number =>
  Math.ceil(sizeBytes / unitBytes) * unitBytes;

/** What each kind holds. */
export const formatsOf: Readonly<Record<StorageRepositoryKind, readonly VolumeFormat[]>> = {
  directory: ['raw', 'qcow2'],
  lvm: ['raw'],
};

/** `/dev/` and a name that LVM takes for a volume group. */
const VOLUME_GROUP = /^\/dev\/[A-Za-z0-9_+.][A-Za-z0-9_+.-]*$/;

/** What of a new repository does not fit its kind. */
export function misfits({
  kind,
  path,
  create,
  shared,
}: Pick<CreateStorageRepositoryInput, 'kind' | 'path' | 'create' | 'shared'>): FieldError[] {
  if (kind !== 'lvm') return [];
  return [
    ...(VOLUME_GROUP.test(plainFolder(path))
      ? []
      : [{ path: 'path', message: 'must be /dev/ and the name of a volume group' }]),
    ...(create ? [{ path: 'create', message: 'a volume group is made on the host, with vgcreate' }] : []),
    // Without a lock between hosts, each of them would change the same metadata.
    ...(shared ? [{ path: 'shared', message: 'is not offered for volume groups' }] : []),
  ];
}

export const attachment = z
  .object({
    id: uuid,
    hostId: uuid,
    path: z.string().describe('The folder, or the volume group, on that host.'),
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
    path: z.string().describe('The folder, or the volume group, that was asked for.'),
    shared: z.boolean().describe('Whether it is the same storage on every host where it is attached.'),
    capacityBytes: bytes.nullable().describe('As last seen by any of its hosts.'),
    freeBytes: bytes.nullable(),
    granularityBytes: bytes.describe('The size of every volume in it is a whole number of these.'),
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
      'Absolute path of the folder; of a volume group, `/dev/` and its name. What is in it already stays, and files may be booted from.',
    ),
    create: z
      .boolean()
      .default(false)
      .describe('Make the folder if it is not there. A volume group is made on its host.'),
    hostId: uuid
      .optional()
      .describe("The host whose folder or volume group it is. When absent: the pool's only online host."),
    shared: z
      .boolean()
      .default(false)
      .describe(
        'The folder is the same storage on every host (a network file system, mounted at this path): ' +
          'it is attached to every online host of the pool, each of which is checked to see the same one. Not for volume groups.',
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
    format: volumeFormat
      .default('raw')
      .describe('qcow2 needs a `directory`, and qemu-img on the host; raw needs nothing.'),
    sizeBytes: bytes
      .min(512)
      .max(2 ** 50)
      .describe(
        'Rounded up to the `granularityBytes` of the repository. All of it must fit into what is free. A raw volume reads as zeros.',
      ),
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
