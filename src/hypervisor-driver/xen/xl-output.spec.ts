import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { xenCapabilities } from './fingerprint.js';
import { deviceComplaint, startFailure } from './start-failure.js';
import { parseInfo, parseList } from './xl-output.js';

/** What xl of Xen 4.17 really printed. */
const recorded = (name: string) =>
  readFileSync(join(import.meta.dirname, '__fixtures__', `xl-4.17-${name}.txt`), 'utf8');

describe("xl's list", () => {
  const shown = () => parseList(recorded('list'));

  it('is read in full: what runs, is paused, and stands with its reason', () => {
    expect(shown().map(({ domid, paused, shutdown, dying }) => [domid, paused, shutdown, dying])).toEqual([
      [0, false, null, false],
      [40, false, null, false],
      [41, false, 0, false],
      [42, false, 1, false],
      [43, false, 3, false],
      [44, true, null, false],
    ]);
    expect(shown()[1]).toMatchObject({
      name: 'domus-0190a0a0-0000-7000-8000-000000000001',
      uuid: '0190a0a0-0000-7000-8000-000000000001',
      memoryMib: 16,
      vcpus: 1,
    });
  });

  it('may hold names of any kind; one that looks like columns does not count as such', () => {
    const text = recorded('list');
    const line = text.split('\n')[2] ?? '';
    const forged = `${text}evil ${line.trimEnd()}  ${'7'.padStart(4)}     16     1     -b----       0.0 0190a0a0-0000-7000-8000-00000000000a        -                -\n`;
    expect(shown().at(-1)?.name).toBe('some body 1 x');
    expect(parseList(forged).filter(({ uuid }) => uuid.endsWith('1'))).toHaveLength(1);
    expect(parseList(`${text}a name\nwith a break\n`)).toEqual(shown());
  });

  it('that is none is not taken for an empty one', () => {
    for (const text of ['', 'libxl: error', recorded('list').split('\n')[0] ?? ''])
      expect(() => parseList(text)).toThrow();
  });
});

it('says of the host what it has, and what its guests may be', () => {
  const info = parseInfo(recorded('info'));
  expect(info).toEqual({
    version: '4.17.7',
    virtCaps: ['pv', 'hvm', 'hap', 'gnttab-v1', 'gnttab-v2'],
    cpuCount: 1,
    memoryBytes: 1535 * 2 ** 20,
    freeBytes: expect.any(Number),
  });
  const kinds = (...virtCaps: string[]) =>
    xenCapabilities({ virtCaps }).flatMap(({ name }) => /^virtualization\.(.*)/.exec(name)?.[1] ?? []);
  expect(kinds(...info.virtCaps)).toEqual(['pv', 'pvh']);
  expect(kinds('pv')).toEqual(['pv']);
  expect(kinds('hvm', 'shadow')).toEqual(['pvh']);
  expect(kinds('hvm')).toEqual([]);
});

describe('a create that failed', () => {
  it.each([
    [
      'create-missing-kernel',
      'domain.start_failed',
      "failed to open file '/guest/missing.elf': No such file or directory",
    ],
    [
      'create-missing-device',
      'domain.start_failed',
      'Disk vdev=xvda failed to stat: /dev/missing: No such file or directory',
    ],
    [
      'create-no-memory',
      'host.memory_insufficient',
      "xc_dom_boot_mem_init: can't allocate low memory for domain: Out of memory",
    ],
  ])('is refused with its first cause: %s', (name, code, detail) => {
    expect(startFailure(recorded(name), '')).toMatchObject({ code, detail });
  });

  it('without a word is refused with ours', () => {
    expect(startFailure('Parsing config from x\n', 'xl create ended with 3.')).toMatchObject({
      code: 'domain.start_failed',
      detail: 'xl create ended with 3.',
    });
  });

  it('for a disk that its QEMU cannot open tells why', () => {
    expect(
      deviceComplaint(
        "xen-qemu-system-i386: failed to create 'qdisk' device '51712': failed to create drive: Could not stat file '/srv/missing.raw': No such file or directory\n",
      ),
    ).toBe(
      "failed to create 'qdisk' device '51712': failed to create drive: Could not stat file '/srv/missing.raw': No such file or directory",
    );
    expect(deviceComplaint('all is well\n')).toBeNull();
  });
});
