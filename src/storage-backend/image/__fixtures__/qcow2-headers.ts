import { readFileSync } from 'node:fs';
import { z } from 'zod';

const recorded = z.record(z.string(), z.object({ command: z.string(), bytes: z.int(), hex: z.string() }));

/** The first bytes of images that qemu-img 7.2 made, by the name of what is special about each. */
export function recordedHeaders(): Map<string, Buffer> {
  const file = new URL('./qemu-img-7.2-headers.json', import.meta.url);
  const entries = Object.entries(recorded.parse(JSON.parse(readFileSync(file, 'utf8'))));
  return new Map(
    entries.map(([name, { bytes, hex }]) => {
      const head = Buffer.alloc(bytes);
      head.write(hex, 'hex');
      return [name, head];
    }),
  );
}

/** Where the fields of a qcow2 header stand, for tests that forge one. */
export const QCOW2_FIELDS = {
  magic: [0, 4],
  version: [4, 4],
  backingOffset: [8, 8],
  backingLength: [16, 4],
  clusterBits: [20, 4],
  size: [24, 8],
  cryptMethod: [32, 4],
  l1Entries: [36, 4],
  l1Offset: [40, 8],
  refcountOffset: [48, 8],
  refcountClusters: [56, 4],
  snapshots: [60, 4],
  incompatible: [72, 8],
  refcountOrder: [96, 4],
  headerLength: [100, 4],
} as const;

export type ForgedFields = Partial<Record<keyof typeof QCOW2_FIELDS, number | bigint>>;

/** A sound version 3 header of 10 GiB with some fields overwritten. */
export function forgeQcow2(fields: ForgedFields, extension: Buffer = Buffer.alloc(8)): Buffer {
  const sound = recordedHeaders().get('plain-v3');
  if (!sound) throw new Error('The recorded header is gone.');
  const bytes = Buffer.from(sound);
  bytes.fill(0, 112);
  extension.copy(bytes, 112);
  for (const [name, value] of Object.entries(fields)) {
    const [offset, width] = QCOW2_FIELDS[name as keyof typeof QCOW2_FIELDS];
    if (width === 8) bytes.writeBigUInt64BE(BigInt(value), offset);
    else bytes.writeUInt32BE(Number(value), offset);
  }
  return bytes;
}

/** A header extension as it stands in the file, with the end mark behind it. */
export function qcow2Extension(kind: number, data: string, claimedLength = data.length): Buffer {
  const bytes = Buffer.alloc(8 + Math.ceil(data.length / 8) * 8 + 8);
  bytes.writeUInt32BE(kind, 0);
  bytes.writeUInt32BE(claimedLength, 4);
  bytes.write(data, 8, 'latin1');
  return bytes;
}
