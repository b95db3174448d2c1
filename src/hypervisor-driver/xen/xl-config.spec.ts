import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type RunnableDomain } from '../driver.js';
import { quoted, xlConfig } from './xl-config.js';

const golden = (name: string) => readFileSync(join(import.meta.dirname, '__fixtures__', name), 'utf8');

const domain: RunnableDomain = {
  id: '0190a0a0-0000-7000-8000-000000000001',
  name: 'web"; type="pv',
  generation: 3,
  vcpus: 2,
  memoryBytes: 100_000_000,
  boot: { kind: 'direct', kernel: '/srv/k', initramfs: null, commandLine: '' },
  disks: [],
  nics: [],
  consoles: [],
};
const disk = { id: 'd', format: 'raw' as const, bus: 'virtio' as const, readOnly: false };

describe('what xl is given for a domain', () => {
  it('is as recorded', () => {
    expect(xlConfig(domain)).toBe(golden('pvh-bare.cfg'));
    expect(
      xlConfig({
        ...domain,
        virtualization: 'pv',
        boot: {
          kind: 'direct',
          kernel: '/srv/a "quoted" \\ ü/k',
          initramfs: "/srv/it's/i",
          commandLine: 'console=hvc0 a="b c" \\x',
        },
        disks: [
          { ...disk, path: '/dev/vg0/root' },
          { ...disk, path: '/srv/a,b=c, "d",', readOnly: true },
          { ...disk, path: '/srv/x.qcow2', format: 'qcow2' },
        ],
      }),
    ).toBe(golden('pv-disks.cfg'));
  });

  it('has nothing of the name that people gave', () => {
    expect(xlConfig(domain)).not.toContain('web');
  });

  it('carries quotes and backslashes, and refuses what no line of it can', () => {
    expect(quoted('a"b\\c\'d')).toBe(`"a\\"b\\\\c'd"`);
    for (const text of ['a\nb', 'a\0b', '\u007f'])
      expect(() => quoted(text)).toThrow(expect.objectContaining({ code: 'domain.start_failed' }));
  });

  it.each<[string, Partial<RunnableDomain>]>([
    ['firmware', { boot: { kind: 'firmware', firmware: 'bios', order: ['disk'] } }],
    ['HVM', { virtualization: 'hvm' }],
    ['more disks than letters', { disks: Array.from({ length: 27 }, () => ({ ...disk, path: '/dev/x' })) }],
    [
      'cards on a user network',
      { nics: [{ id: 'n', mac: '02:00:00:00:00:01', model: 'virtio', network: { id: 'w', kind: 'user' } }] },
    ],
  ])('is refused with the reason where the driver cannot: %s', (_, change) => {
    expect(() => xlConfig({ ...domain, ...change })).toThrow(
      expect.objectContaining({ code: 'capability.absent', detail: expect.stringMatching(/\w/) }),
    );
  });
});
