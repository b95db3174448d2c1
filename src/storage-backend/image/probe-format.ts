/** What the bytes of a disk file look like. `raw` means that no known format's mark was found. */
export type ProbedFormat =
  | 'raw'
  | 'qcow'
  | 'qcow2'
  | 'qed'
  | 'vmdk'
  | 'vhd'
  | 'vhdx'
  | 'vdi'
  | 'luks'
  | 'parallels'
  | 'bochs'
  | 'cloop'
  | 'dmg';

/** How much of each end of the file `probeFormat` wants; less only if the file is shorter. */
export const PROBE_HEAD_BYTES = 4096;
export const PROBE_TAIL_BYTES = 512;

interface Mark {
  readonly format: ProbedFormat;
  readonly in: 'head' | 'tail';
  readonly offset: number;
  readonly bytes: Uint8Array;
}
const text = (value: string): Uint8Array => Uint8Array.from(value, (letter) => letter.charCodeAt(0));
const mark = (format: ProbedFormat, value: string, offset = 0, where: Mark['in'] = 'head'): Mark => ({
  format,
  in: where,
  offset,
  bytes: text(value),
});

const MARKS: readonly Mark[] = [
  mark('qcow2', 'QFI\xfb'), // told from version 1 below
  mark('qed', 'QED\0'),
  mark('vmdk', 'KDMV'),
  mark('vmdk', 'COWD'),
  mark('vhdx', 'vhdxfile'),
  mark('vhd', 'conectix'),
  mark('vhd', 'conectix', 0, 'tail'),
  mark('vdi', '\x7f\x10\xda\xbe', 0x40),
  mark('luks', 'LUKS\xba\xbe'),
  mark('parallels', 'WithoutFreeSpace'),
  mark('parallels', 'WithouFreSpacExt'),
  mark('bochs', 'Bochs Virtual HD Image'),
  mark('cloop', '#!/bin/sh\n#V2.0 Format\nmodprobe cloop file=$0 && mount -r -t iso9660 /dev/cloop $1\n'),
  mark('dmg', 'koly', 0, 'tail'),
];

/**
 * Says what format a file would be taken for, from its first `PROBE_HEAD_BYTES` and last `PROBE_TAIL_BYTES`. Bytes that
 * a stranger brings as raw are refused unless this says `raw`; a volume's own format is never asked of its bytes.
 * Never throws.
 */
export function probeFormat(head: Uint8Array, tail: Uint8Array): ProbedFormat {
  const last = tail.subarray(Math.max(0, tail.length - PROBE_TAIL_BYTES));
  const found = MARKS.find((each) => startsAt(each.in === 'head' ? head : last, each.offset, each.bytes));
  if (found?.format === 'qcow2' && head[4] === 0 && head[5] === 0 && head[6] === 0 && head[7] === 1) {
    return 'qcow';
  }
  if (found) return found.format;
  return isVmdkDescriptor(head) ? 'vmdk' : 'raw';
}

function startsAt(bytes: Uint8Array, offset: number, wanted: Uint8Array): boolean {
  return wanted.every((byte, at) => bytes[offset + at] === byte);
}

/** The text form, as QEMU probes it: comments and blank lines, then `version=1` to `3`. It can name any file of the host. */
function isVmdkDescriptor(head: Uint8Array): boolean {
  const start = Buffer.from(head.buffer, head.byteOffset, head.byteLength).toString('latin1');
  if (/^# Disk DescriptorFile/i.test(start)) return true;
  return /^(?:(?:#[^\n]*| *\r?)\n)*version=[123]\s/i.test(start);
}
