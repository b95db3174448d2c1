import { adjustControlDomain, type AdjustParts } from './control-domain.js';
import { type XenDomain } from './xl-output.js';

const MEBIBYTE = 1 << 20;

/** A domain 0 that goes towards what it is told by so much with each look, and no further than it can. */
function dom0(can: {
  readonly leastMib?: number;
  readonly vcpus?: readonly number[];
  readonly stepMib?: number;
}) {
  const { leastMib = 128, vcpus = [1, 2], stepMib = 1_000 } = can;
  const told: string[] = [];
  const faults: unknown[] = [];
  let target = 640;
  let clock = 0;
  const control: XenDomain & { memoryMib: number; vcpus: number } = {
    name: 'Domain-0',
    domid: 0,
    uuid: '00000000-0000-0000-0000-000000000000',
    memoryMib: 640,
    vcpus: 2,
    paused: false,
    shutdown: null,
    dying: false,
  };
  const parts: AdjustParts = {
    xl: {
      list: async () => {
        clock += 500;
        const way = target - control.memoryMib;
        control.memoryMib += Math.sign(way) * Math.min(Math.abs(way), stepMib);
        return [{ ...control }];
      },
      setControlDomainMemory: async (mebibytes) => {
        told.push(`mem-set ${mebibytes}`);
        if (mebibytes < leastMib) return 'memory target for dom0 is below the minimum threshold';
        target = mebibytes;
        return null;
      },
      setControlDomainVcpus: async (count) => {
        told.push(`vcpu-set ${count}`);
        if (!vcpus.includes(count)) return `Requested ${count} VCPUs, however maxcpus is 2!`;
        control.vcpus = count;
        return null;
      },
    },
    onFault: (error) => void faults.push(error),
    wait: async (ms) => void (clock += ms),
    now: () => clock,
  };
  return { parts, told, faults };
}

describe('a control domain of Xen', () => {
  it('has another size once its kernel has followed', async () => {
    const { parts, told } = dom0({ stepMib: 10 });
    expect(await adjustControlDomain(parts, { memoryBytes: 512 * MEBIBYTE, vcpus: 1 })).toEqual({
      memoryBytes: expect.closeTo(512 * MEBIBYTE, -7.3),
      vcpus: 1,
    });
    expect(told).toEqual(['mem-set 512', 'vcpu-set 1']);
  });

  it('is told whole mebibytes, at least what was asked, and nothing of what stays', async () => {
    const { parts, told } = dom0({});
    await adjustControlDomain(parts, { memoryBytes: 512 * MEBIBYTE + 1, vcpus: null });
    await adjustControlDomain(parts, { memoryBytes: null, vcpus: null });
    expect(told).toEqual(['mem-set 513']);
  });

  it('is as it was before when Xen refuses one of the two, and says why', async () => {
    const { parts, told } = dom0({});
    const asked = adjustControlDomain(parts, { memoryBytes: 512 * MEBIBYTE, vcpus: 9 });
    await expect(asked).rejects.toMatchObject({
      code: 'host.control_domain_refused',
      detail: 'Requested 9 VCPUs, however maxcpus is 2!',
    });
    expect(told).toEqual(['mem-set 512', 'vcpu-set 9', 'mem-set 640', 'vcpu-set 2']);
    expect(await adjustControlDomain(parts, { memoryBytes: null, vcpus: null })).toEqual({
      memoryBytes: 640 * MEBIBYTE,
      vcpus: 2,
    });
  });

  it('is as it was before when its kernel does not follow in time', async () => {
    const { parts, told, faults } = dom0({ stepMib: 0 });
    const asked = adjustControlDomain(parts, { memoryBytes: 512 * MEBIBYTE, vcpus: null });
    await expect(asked).rejects.toMatchObject({
      code: 'host.control_domain_refused',
      detail: 'Its kernel did not follow within 20 s: it has 640 MiB and 2 vCPUs.',
    });
    expect(told).toEqual(['mem-set 512', 'mem-set 640']);
    expect(faults).toEqual([]);
  });
});
