import { ImageFormatError, type ImageFault } from './image-format-error.js';

/** How many bytes from the start of the file `parseQcow2Header` wants; fewer only if the file is shorter. */
export const QCOW2_HEADER_BYTES = 64 * 1024;

export const QCOW2_MAGIC = 0x514649fb; // "QFI\xfb"

export interface Qcow2Header {
  readonly version: 2 | 3;
  readonly sizeBytes: number;
  readonly clusterBytes: number;
  /** It was not closed properly; QEMU repairs its reference counts when it opens it. */
  readonly dirty: boolean;
}

const INCOMPATIBLE = { dirty: 1n, corrupt: 2n, externalData: 4n, compression: 8n, extendedL2: 16n };
const KNOWN_INCOMPATIBLE = Object.values(INCOMPATIBLE).reduce((all, bit) => all | bit, 0n);

const EXTENSION_END = 0;
const REFUSED_EXTENSIONS = new Map<number, { fault: ImageFault; what: string }>([
  [0xe2792aca, { fault: 'backing_file', what: 'names the format of a backing file' }],
  [0x44415441, { fault: 'external_data_file', what: 'names an external data file' }],
  [0x0537be77, { fault: 'encrypted', what: 'holds a key for encryption' }],
]);

/** QEMU's own bounds (block/qcow2.h): beyond them it would refuse the image, or spend memory that a stranger chose. */
const MAX_L1_BYTES = 32 * 1024 * 1024;
const MAX_REFCOUNT_TABLE_BYTES = 8 * 1024 * 1024;
const MAX_SNAPSHOTS = 65_536;

function refuse(fault: ImageFault, message: string): never {
  throw new ImageFormatError(fault, message);
}

/**
 * Reads the header of a qcow2 image and refuses every one that could make the hypervisor open another file, ask for a
 * key, or spend memory without bound. `head` holds the first bytes of the file (`QCOW2_HEADER_BYTES`); only the header
 * is judged, never the tables behind it. Throws `ImageFormatError` and nothing else, whatever the bytes.
 */
export function parseQcow2Header(head: Uint8Array): Qcow2Header {
  const bytes = new DataView(head.buffer, head.byteOffset, head.byteLength);
  if (bytes.byteLength < 4 || bytes.getUint32(0) !== QCOW2_MAGIC) {
    refuse('not_this_format', 'The file does not begin with the magic number of qcow2.');
  }
  if (bytes.byteLength < 72) refuse('truncated', 'The file ends within the qcow2 header.');

  const version = bytes.getUint32(4);
  if (version !== 2 && version !== 3) refuse('unsupported_version', `It is qcow version ${version}.`);
  refuseBackingFile(bytes);
  if (bytes.getUint32(32) !== 0) refuse('encrypted', `It is encrypted (method ${bytes.getUint32(32)}).`);

  const clusterBits = bytes.getUint32(20);
  if (clusterBits < 9 || clusterBits > 21)
    refuse('inconsistent', `Its clusters have 2^${clusterBits} bytes.`);
  const clusterBytes = 2 ** clusterBits;
  const incompatible = version === 3 ? readVersion3(bytes, clusterBytes) : 0n;
  refuseExtensions(bytes, version === 3 ? bytes.getUint32(100) : 72, clusterBytes);

  const extendedL2 = (incompatible & INCOMPATIBLE.extendedL2) !== 0n;
  return {
    version,
    sizeBytes: readSize(bytes, clusterBytes, extendedL2),
    clusterBytes,
    dirty: (incompatible & INCOMPATIBLE.dirty) !== 0n,
  };
}

function refuseBackingFile(bytes: DataView): void {
  if (bytes.getBigUint64(8) !== 0n || bytes.getUint32(16) !== 0) {
    refuse('backing_file', 'It names a backing file.');
  }
}

function readVersion3(bytes: DataView, clusterBytes: number): bigint {
  if (bytes.byteLength < 104) refuse('truncated', 'The file ends within the qcow2 header.');
  const incompatible = bytes.getBigUint64(72);
  if ((incompatible & INCOMPATIBLE.externalData) !== 0n) {
    refuse('external_data_file', 'Its data is in an external file.');
  }
  if ((incompatible & ~KNOWN_INCOMPATIBLE) !== 0n) {
    refuse('unsupported_feature', `It needs features that are not known (0x${incompatible.toString(16)}).`);
  }
  if ((incompatible & INCOMPATIBLE.corrupt) !== 0n) {
    refuse('marked_corrupt', 'QEMU has marked it as corrupt; qemu-img check can repair it.');
  }
  if (bytes.getUint32(96) > 6) refuse('inconsistent', 'Its reference counts are too wide.');
  const headerBytes = bytes.getUint32(100);
  if (headerBytes < 104 || headerBytes % 8 !== 0 || headerBytes > clusterBytes) {
    refuse('inconsistent', `Its header claims ${headerBytes} bytes.`);
  }
  return incompatible;
}

/** Extensions stand behind the header, up to an end mark or the end of the first cluster. Those not known here are QEMU's to ignore. */
function refuseExtensions(bytes: DataView, from: number, clusterBytes: number): void {
  const end = Math.min(clusterBytes, bytes.byteLength);
  let at = from;
  while (at + 8 <= end) {
    const kind = bytes.getUint32(at);
    const length = bytes.getUint32(at + 4);
    if (kind === EXTENSION_END) return;
    const refused = REFUSED_EXTENSIONS.get(kind);
    if (refused) refuse(refused.fault, `Its header ${refused.what}.`);
    if (length > end - at - 8) refuse('inconsistent', 'A header extension is longer than the header.');
    at += 8 + Math.ceil(length / 8) * 8;
  }
  // What lies beyond the bytes that were read was not judged, so it is not let through.
  if (at < clusterBytes && bytes.byteLength < clusterBytes) {
    refuse('truncated', 'The header extensions have no end.');
  }
}

function readSize(bytes: DataView, clusterBytes: number, extendedL2: boolean): number {
  const size = bytes.getBigUint64(24);
  if (size > BigInt(Number.MAX_SAFE_INTEGER)) refuse('size_out_of_range', `It claims ${size} bytes.`);
  const sizeBytes = Number(size);

  const entries = bytes.getUint32(36);
  if (entries * 8 > MAX_L1_BYTES) refuse('size_out_of_range', `Its first table claims ${entries} entries.`);
  const perEntry = clusterBytes * (clusterBytes / (extendedL2 ? 16 : 8));
  if (entries < Math.ceil(sizeBytes / perEntry)) {
    refuse('inconsistent', 'Its first table is too small for its size.');
  }
  for (const [name, at] of [
    ['first table', 40],
    ['reference count table', 48],
  ] as const) {
    const offset = bytes.getBigUint64(at);
    const mayBeNowhere = at === 40 && entries === 0;
    if (offset % BigInt(clusterBytes) !== 0n || (offset === 0n && !mayBeNowhere) || offset >> 56n !== 0n) {
      refuse('inconsistent', `Its ${name} is at ${offset}.`);
    }
  }
  if (bytes.getUint32(56) * clusterBytes > MAX_REFCOUNT_TABLE_BYTES) {
    refuse('size_out_of_range', 'Its reference count table is too large.');
  }
  if (bytes.getUint32(60) > MAX_SNAPSHOTS) refuse('inconsistent', 'It claims too many snapshots.');
  return sizeBytes;
}
