import fc from 'fast-check';
import {
  forgeQcow2,
  qcow2Extension,
  QCOW2_FIELDS,
  recordedHeaders,
  type ForgedFields,
} from './__fixtures__/qcow2-headers.js';
import { ImageFormatError, type ImageFault } from './image-format-error.js';
import { parseQcow2Header } from './qcow2-header.js';

const GIB = 2 ** 30;
const recorded = recordedHeaders();

function outcome(head: Uint8Array): ImageFault | 'accepted' {
  try {
    parseQcow2Header(head);
    return 'accepted';
  } catch (error) {
    if (error instanceof ImageFormatError) return error.fault;
    throw error;
  }
}

describe('the qcow2 header', () => {
  it.each([
    ['plain-v2', 2, 10 * GIB, 65_536],
    ['plain-v3', 3, 10 * GIB, 65_536],
    ['zstd-extended-l2', 3, 10 * GIB, 131_072],
    ['big-cluster', 3, 10 * GIB, 2_097_152],
    ['empty', 3, 0, 65_536],
  ])('of a %s image made by qemu-img is read', (name, version, sizeBytes, clusterBytes) => {
    const head = recorded.get(name) ?? Buffer.alloc(0);
    expect(parseQcow2Header(head)).toEqual({ version, sizeBytes, clusterBytes, dirty: false });
  });

  it.each([
    ['backing', 'backing_file'],
    ['external-data', 'external_data_file'],
    ['luks', 'encrypted'],
  ])('of a %s image made by qemu-img is refused', (name, fault) => {
    expect(outcome(recorded.get(name) ?? Buffer.alloc(0))).toBe(fault);
  });

  const forged: [string, ForgedFields, ImageFault][] = [
    ['a backing file without a length', { backingOffset: 600 }, 'backing_file'],
    ['a backing file without a place', { backingLength: 11 }, 'backing_file'],
    ['an external data file', { incompatible: 4 }, 'external_data_file'],
    ['an external data file among known features', { incompatible: 0b11101 }, 'external_data_file'],
    ['a feature of the future', { incompatible: 1n << 40n }, 'unsupported_feature'],
    ['the mark of corruption', { incompatible: 2 }, 'marked_corrupt'],
    ['AES encryption', { cryptMethod: 1 }, 'encrypted'],
    ['an unknown encryption', { cryptMethod: 77 }, 'encrypted'],
    ['version 1', { version: 1 }, 'unsupported_version'],
    ['version 4', { version: 4 }, 'unsupported_version'],
    ['another magic number', { magic: 0x4b444d56 }, 'not_this_format'],
    ['8 EiB', { size: (1n << 63n) - 1n }, 'size_out_of_range'],
    ['a size that its tables cannot hold', { size: 1n << 50n }, 'inconsistent'],
    ['a first table of 32 GiB', { l1Entries: 0xffffffff }, 'size_out_of_range'],
    ['a first table nowhere', { l1Offset: 0 }, 'inconsistent'],
    ['a first table off the grid', { l1Offset: 65_537 }, 'inconsistent'],
    ['a refcount table nowhere', { refcountOffset: 0 }, 'inconsistent'],
    ['a refcount bomb', { refcountClusters: 0xffffffff }, 'size_out_of_range'],
    ['too wide reference counts', { refcountOrder: 7 }, 'inconsistent'],
    ['a million snapshots', { snapshots: 1_000_000 }, 'inconsistent'],
    ['clusters of a byte', { clusterBits: 0 }, 'inconsistent'],
    ['clusters of 4 GiB', { clusterBits: 32 }, 'inconsistent'],
    ['a header longer than its cluster', { headerLength: 65_544 }, 'inconsistent'],
    ['a header shorter than its version', { headerLength: 72 }, 'inconsistent'],
  ];
  it.each(forged)('with %s is refused', (_what, fields, fault) => {
    expect(outcome(forgeQcow2(fields))).toBe(fault);
  });

  it.each([
    ['the format of a backing file', 0xe2792aca, 'backing_file'],
    ['an external data file', 0x44415441, 'external_data_file'],
    ['a key', 0x0537be77, 'encrypted'],
  ])('with an extension that names %s is refused, also behind a harmless one', (_what, kind, fault) => {
    expect(outcome(forgeQcow2({}, qcow2Extension(kind, 'x')))).toBe(fault);
    const second = Buffer.concat([
      qcow2Extension(0x6803f857, 'harmless').subarray(0, 16),
      qcow2Extension(kind, 'x'),
    ]);
    expect(outcome(forgeQcow2({}, second))).toBe(fault);
  });

  it('with an unknown extension is left to the hypervisor, which ignores it', () => {
    expect(outcome(forgeQcow2({}, qcow2Extension(0x12345678, 'whatever')))).toBe('accepted');
  });

  it('with an extension beyond its header is refused', () => {
    expect(outcome(forgeQcow2({}, qcow2Extension(0x12345678, 'x', 0xffffffff)))).toBe('inconsistent');
  });

  it('whose extensions run past the bytes that were read is refused, not half judged', () => {
    const head = forgeQcow2({ clusterBits: 21 }, qcow2Extension(0x12345678, 'x', 65_536 - 120 - 4));
    expect(outcome(head.subarray(0, 65_536 - 4))).not.toBe('accepted');
    expect(outcome(head)).not.toBe('accepted');
  });

  it('that ends too early is refused at every length', () => {
    const head = recorded.get('plain-v3') ?? Buffer.alloc(0);
    for (let length = 0; length < 112; length += 1) {
      expect(outcome(head.subarray(0, length))).toBe(length < 4 ? 'not_this_format' : 'truncated');
    }
  });

  it('is judged with the typed error alone, whatever the bytes', () => {
    const magic = fc.constant(Uint8Array.of(0x51, 0x46, 0x49, 0xfb, 0, 0, 0, 3));
    const noise = fc.uint8Array({ maxLength: 600 });
    const head = fc.oneof(
      noise,
      fc.tuple(magic, noise).map(([a, b]) => Buffer.concat([a, b])),
    );
    fc.assert(
      fc.property(head, (bytes) => typeof outcome(bytes) === 'string'),
      { numRuns: 2000 },
    );
  });

  it('never lets a backing file, an external one or an encryption through, whatever else it says', () => {
    const field = fc
      .constantFrom(...Object.keys(QCOW2_FIELDS))
      .chain((name) => fc.tuple(fc.constant(name), fc.bigInt({ min: 0n, max: 0xffffffffn })));
    const danger = fc.constantFrom<ForgedFields>(
      { backingOffset: 600, backingLength: 11 },
      { incompatible: 4 },
      { cryptMethod: 2 },
    );
    fc.assert(
      fc.property(fc.array(field, { maxLength: 4 }), danger, (fields, dangerous) => {
        const version = { version: 3 };
        return (
          outcome(forgeQcow2({ ...Object.fromEntries(fields), ...version, ...dangerous })) !== 'accepted'
        );
      }),
      { numRuns: 500 },
    );
  });
});
