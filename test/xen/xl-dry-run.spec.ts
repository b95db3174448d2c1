import { describeUnless } from '../support/skippable.js';
import { dryRuns } from '../lab/record/guests.js';
import { openXlParser, type XlParser } from '../lab/xl-dry-run/dry-run.js';

const parser = await openXlParser();
const xl = parser as XlParser;

describeUnless(typeof parser === 'string' ? parser : null, 'the real xl, without Xen', () => {
  it('says what it would make of a configuration', async () => {
    const { code, config } = await xl.dryRun(dryRuns['pv-disk-and-card'] ?? '');
    expect(code).toBe(0);
    expect(config).toMatchObject({
      c_info: { type: 'pv', name: 'pv-running', uuid: '01980000-0000-7000-8000-000000000001' },
      b_info: { max_vcpus: 2, target_memkb: 128 << 10, max_memkb: 192 << 10 },
      disks: [{ pdev_path: '/dev/vg0/d1', vdev: 'xvda', backend: 'phy', format: 'raw', readwrite: 1 }],
      nics: [{ mac: '00:16:3e:00:00:01', bridge: 'xenbr0' }],
    });
  });

  it('refuses what it cannot read, with the line', async () => {
    const { code, config, err } = await xl.dryRun('name="broken\nthis is [ no config\n');
    expect({ code, config }).toEqual({ code: 1, config: null });
    expect(err).toContain('guest.cfg:1: config parsing error');
  });

  it('is a lenient judge: what it does not know vanishes, which is why its answer is compared and its code is not', async () => {
    const { code, config } = await xl.dryRun(`${dryRuns['pvh-least']}memroy=4096\n`);
    expect(code).toBe(0);
    expect(JSON.stringify(config)).not.toContain('4096');
  });
});
