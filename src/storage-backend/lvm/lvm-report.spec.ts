import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  lvmComplaint,
  parseReport,
  saysInUse,
  saysNoRoom,
  saysNoSuchGroup,
  saysNoSuchVolume,
} from './lvm-report.js';

/** What LVM really printed (npm run lab:record). */
const recorded = (name: string) =>
  readFileSync(join(import.meta.dirname, '__fixtures__/recorded', name), 'utf8');
const refusals = JSON.parse(recorded('refusals.json')) as { what: string; code: number; err: string }[];
const EXTENT = 4 << 20;

describe('what LVM shows of a volume group', () => {
  it('is read in full where there is nothing in it', () => {
    const { volumes, ...group } = parseReport(recorded('report-empty.json'));
    expect(volumes.size).toBe(0);
    expect(group).toEqual({
      name: 'vgrec',
      capacityBytes: 23 * EXTENT,
      freeBytes: 23 * EXTENT,
      extentBytes: EXTENT,
      tags: [],
    });
  });

  it('is read in full with its tags, and volumes that have a device and that have none', () => {
    const { volumes, tags, capacityBytes, freeBytes } = parseReport(recorded('report-volumes.json'));
    expect([...tags].sort()).toEqual(['domus-repository=01980000-0000-7000-8000-0000000000aa', 'rack-7']);
    expect([...volumes.values()]).toEqual(
      expect.arrayContaining([
        { name: 'domus-01980000-0000-7000-8000-000000000001', sizeBytes: 2 * EXTENT, active: true },
        { name: 'domus-01980000-0000-7000-8000-000000000002', sizeBytes: 3 * EXTENT, active: false },
        { name: 'somebody-elses', sizeBytes: 5 * EXTENT, active: true },
      ]),
    );
    expect(capacityBytes - freeBytes).toBe((2 + 3 + 4 + 5) * EXTENT);
  });

  it('is never taken from anything but the report of one group', () => {
    const { report } = JSON.parse(recorded('report-empty.json')) as { report: unknown[] };
    for (const text of ['', '{}', '{"report":[]}', JSON.stringify({ report: [...report, ...report] })])
      expect(() => parseReport(text)).toThrow();
  });
});

describe('what LVM refuses', () => {
  const saying = (says: (stderr: string) => boolean) =>
    refusals.filter(({ err }) => says(err)).map(({ what }) => what);

  it('is told apart', () => {
    expect(refusals.every(({ code }) => code !== 0)).toBe(true);
    expect(saying(saysNoSuchGroup)).toEqual(['report of an unknown group', 'create in an unknown group']);
    expect(saying(saysNoRoom)).toEqual(['create of more than is free']);
    expect(saying(saysNoSuchVolume)).toEqual(['remove of an unknown volume']);
    expect(saying(saysInUse)).toEqual([
      'remove of a volume that is open',
      'remove of a volume that is mounted',
    ]);
  });

  it('is told with its first cause, and not with a warning before it', () => {
    expect(
      lvmComplaint('  WARNING: This metadata update is NOT backed up.\n  Device is gone.\n  Failed.\n'),
    ).toBe('Device is gone.');
    expect(lvmComplaint('')).toBe('it did not say why');
    for (const { err } of refusals) expect(lvmComplaint(err)).toMatch(/^[A-Z].*\w/);
  });
});
