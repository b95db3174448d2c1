import { constants, type Stats } from 'node:fs';
import { link, mkdir, open, readdir, rmdir, unlink, type FileHandle } from 'node:fs/promises';
import {
  repositoryFull,
  repositoryUnavailable,
  volumeBadImage,
  volumeFileExists,
  type VolumeFormat,
  type VolumeRef,
} from '../../agent-contract/index.js';
import { uuid } from '../../kernel/schema/values.js';
import { type FoundVolume } from '../backend.js';
import { ImageFormatError } from '../image/image-format-error.js';
import { parseQcow2Header, QCOW2_HEADER_BYTES } from '../image/qcow2-header.js';
import { errorCode } from '../shared/error-code.js';
import { SECTOR_BYTES, wholeUnits } from '../shared/whole-units.js';
import { type CreateQcow2 } from './qemu-img.js';
import { below, openBytes, openEntry } from '../shared/walk.js';

/** The folder of volumes inside a repository. Nobody names a path into it; files are named by volume id alone. */
export const VOLUMES = 'volumes';

const FORMATS: readonly VolumeFormat[] = ['raw', 'qcow2'];
const fileName = (volume: VolumeRef, format: VolumeFormat = volume.format): string =>
  `${volume.id}.${format}`;
/** A volume under way. The name is the volume's own, so that the next attempt finds and clears what a crash left. */
const draftName = (volume: VolumeRef): string => `.${fileName(volume)}.new`;

/** Opens the folder of volumes. Null when there is none yet and it is not to be made. The caller closes it. */
export async function openVolumes(
  root: FileHandle,
  options: { create: boolean },
): Promise<FileHandle | null> {
  try {
    return await open(
      below(root, VOLUMES),
      constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW,
    );
  } catch (error) {
    if (errorCode(error) !== 'ENOENT') {
      throw repositoryUnavailable(`Its "${VOLUMES}" cannot be opened as a folder.`, { cause: error });
    }
  }
  if (!options.create) return null;
  await mkdir(below(root, VOLUMES), { mode: 0o700 }).catch((error: unknown) => {
    if (errorCode(error) !== 'EEXIST') throw error;
  });
  await root.sync();
  return openVolumes(root, { create: false });
}

/** Removes the folder of volumes if nothing is in it: then it is as Domus made it. */
export async function removeEmptyVolumes(root: FileHandle): Promise<void> {
  await rmdir(below(root, VOLUMES)).catch((error: unknown) => {
    if (!['ENOENT', 'ENOTEMPTY', 'EEXIST', 'ENOTDIR'].includes(errorCode(error) ?? '')) throw error;
  });
}

/** The volume's file as a checked handle (to be closed by the caller); null when it is not there. */
export async function openVolumeFile(
  volumes: FileHandle,
  volume: VolumeRef,
): Promise<{ file: FileHandle; stats: Stats } | null> {
  const file = await openEntry(volumes, fileName(volume));
  if (!file) return null;
  const stats = await file.stat();
  if (stats.isFile()) return { file, stats };
  await file.close();
  throw volumeBadImage(`In the place of volume ${volume.id} stands something that is no file.`);
}

/** The volumes in the folder, by name alone. */
export async function listVolumeFiles(volumes: FileHandle): Promise<{ id: string; format: VolumeFormat }[]> {
  const names = await readdir(`/proc/self/fd/${volumes.fd}`);
  return names.flatMap((name) => {
    const [id = '', ...rest] = name.split('.');
    const format = FORMATS.find((each) => each === rest.join('.'));
    return format && uuid.safeParse(id).success ? [{ id, format }] : [];
  });
}

/** What is there of a volume. Null when nothing is; `volume.bad_image` when its header is not one to trust. */
export async function findVolume(volumes: FileHandle, volume: VolumeRef): Promise<FoundVolume | null> {
  const opened = await openVolumeFile(volumes, volume);
  if (!opened) return null;
  try {
    return {
      sizeBytes: volume.format === 'raw' ? opened.stats.size : await readQcow2Size(opened.file, volume),
      allocatedBytes: opened.stats.blocks * 512,
    };
  } finally {
    await opened.file.close();
  }
}

/** Judges the header of a qcow2 volume and says how large the guest sees it. */
export async function readQcow2Size(file: FileHandle, volume: VolumeRef): Promise<number> {
  const bytes = await openBytes(file);
  try {
    const buffer = Buffer.alloc(QCOW2_HEADER_BYTES);
    const { bytesRead } = await bytes.read(buffer, 0, buffer.length, 0);
    return parseQcow2Header(buffer.subarray(0, bytesRead)).sizeBytes;
  } catch (error) {
    if (!(error instanceof ImageFormatError)) throw error;
    throw volumeBadImage(`The qcow2 header of volume ${volume.id} is refused: ${error.message}`, {
      cause: error,
    });
  } finally {
    await bytes.close();
  }
}

/** Makes the file whole or not at all: a draft, made durable, then linked to its name, which never overwrites. */
export async function makeVolume(
  volumes: FileHandle,
  volume: VolumeRef,
  sizeBytes: number,
  free: { freeBytes: number },
  createQcow2: CreateQcow2,
): Promise<FoundVolume> {
  const wanted = wholeUnits(sizeBytes, SECTOR_BYTES);
  const there = await sameVolume(volumes, volume, wanted);
  if (there) return there;
  if (wanted > free.freeBytes) {
    throw repositoryFull(`${wanted} bytes are wanted and ${free.freeBytes} are free.`);
  }
  const draft = below(volumes, draftName(volume));
  await removeIfThere(draft);
  try {
    if (volume.format === 'qcow2') await createQcow2(volumes, draftName(volume), wanted);
    await finishDraft(draft, volume.format === 'raw' ? wanted : null);
    await link(draft, below(volumes, fileName(volume)));
  } catch (error) {
    throw asRefusal(error);
  } finally {
    await removeIfThere(draft);
  }
  await volumes.sync();
  const made = await sameVolume(volumes, volume, wanted);
  if (!made) throw new Error(`Volume ${volume.id} was made and is not there.`);
  return made;
}

async function finishDraft(draft: string, rawSize: number | null): Promise<void> {
  const flags = constants.O_RDWR | constants.O_NOFOLLOW;
  const file = await open(
    draft,
    rawSize === null ? flags : flags | constants.O_CREAT | constants.O_EXCL,
    0o600,
  );
  try {
    await file.chmod(0o600);
    if (rawSize !== null) await file.truncate(rawSize);
    await file.sync();
  } finally {
    await file.close();
  }
}

async function sameVolume(
  volumes: FileHandle,
  volume: VolumeRef,
  wanted: number,
): Promise<FoundVolume | null> {
  for (const format of FORMATS.filter((each) => each !== volume.format)) {
    const other = await openEntry(volumes, fileName(volume, format));
    await other?.close();
    if (other) throw volumeFileExists(`Volume ${volume.id} is there, as ${format}.`);
  }
  const found = await findVolume(volumes, volume).catch((error: unknown) => {
    throw volumeFileExists(`The id ${volume.id} is taken by bytes that cannot be used.`, { cause: error });
  });
  if (found && found.sizeBytes !== wanted) {
    throw volumeFileExists(`Volume ${volume.id} is there, with ${found.sizeBytes} bytes.`);
  }
  return found;
}

/** Removes the volume's file and what an unfinished attempt left. Idempotent. */
export async function removeVolume(volumes: FileHandle, volume: VolumeRef): Promise<void> {
  await removeIfThere(below(volumes, draftName(volume)));
  await removeIfThere(below(volumes, fileName(volume)));
  await volumes.sync();
}

async function removeIfThere(path: string): Promise<void> {
  await unlink(path).catch((error: unknown) => {
    if (errorCode(error) !== 'ENOENT') throw error;
  });
}

function asRefusal(error: unknown): unknown {
  const code = errorCode(error) ?? '';
  if (['ENOSPC', 'EDQUOT'].includes(code)) return repositoryFull('The disk is full.', { cause: error });
  if (code === 'EFBIG') {
    return repositoryFull('The file system holds no file of that size.', { cause: error });
  }
  return error;
}
