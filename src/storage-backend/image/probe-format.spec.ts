import fc from 'fast-check';
import { recordedHeaders } from './__fixtures__/qcow2-headers.js';
import { probeFormat, PROBE_HEAD_BYTES, type ProbedFormat } from './probe-format.js';

const NOTHING = new Uint8Array(0);
const withMark = (mark: string, offset = 0): Buffer => {
  const bytes = Buffer.alloc(PROBE_HEAD_BYTES);
  bytes.write(mark, offset, 'latin1');
  return bytes;
};

describe('the probe of a disk file', () => {
  const marks: [ProbedFormat, string, number][] = [
    ['qcow2', 'QFI\xfb\0\0\0\x02', 0],
    ['qcow2', 'QFI\xfb\0\0\0\x03', 0],
    ['qcow', 'QFI\xfb\0\0\0\x01', 0],
    ['qed', 'QED\0', 0],
    ['vmdk', 'KDMV', 0],
    ['vmdk', 'COWD', 0],
    ['vmdk', '# Disk DescriptorFile\nversion=1\n', 0],
    ['vmdk', '# anything\n\n  \nversion=3\r\nRW 1 FLAT "/etc/shadow" 0\n', 0],
    ['vhdx', 'vhdxfile', 0],
    ['vhd', 'conectix', 0],
    ['vdi', '\x7f\x10\xda\xbe', 0x40],
    ['luks', 'LUKS\xba\xbe\0\x02', 0],
    ['parallels', 'WithouFreSpacExt', 0],
    ['bochs', 'Bochs Virtual HD Image', 0],
  ];
  it.each(marks)('knows %s by %j', (format, mark, offset) => {
    expect(probeFormat(withMark(mark, offset), NOTHING)).toBe(format);
  });

  it('knows what qemu-img made', () => {
    for (const head of recordedHeaders().values()) expect(probeFormat(head, NOTHING)).toBe('qcow2');
  });

  it.each<[ProbedFormat, string]>([
    ['vhd', 'conectix'],
    ['dmg', 'koly'],
  ])('knows %s by the mark at its end', (format, mark) => {
    const tail = Buffer.alloc(512);
    tail.write(mark, 0, 'latin1');
    expect(probeFormat(Buffer.alloc(PROBE_HEAD_BYTES), tail)).toBe(format);
    expect(probeFormat(Buffer.alloc(PROBE_HEAD_BYTES), Buffer.concat([Buffer.alloc(64), tail]))).toBe(format);
  });

  it.each([
    ['zeros', Buffer.alloc(PROBE_HEAD_BYTES)],
    ['nothing', Buffer.alloc(0)],
    ['a boot sector', withMark('\x55\xaa', 510)],
    ['a mark in the wrong place', withMark('QFI\xfb', 1)],
    ['a script', withMark('#!/bin/sh\necho hello\n')],
  ])('takes %s for raw', (_what, head) => {
    expect(probeFormat(head, NOTHING)).toBe('raw');
  });

  it('answers for any bytes', () => {
    const bytes = fc.uint8Array({ maxLength: 5000 });
    fc.assert(fc.property(bytes, bytes, (head, tail) => typeof probeFormat(head, tail) === 'string'));
  });
});
