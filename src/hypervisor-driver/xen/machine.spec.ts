import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { hostFacts } from '../../agent-contract/index.js';
import { xenFingerprint } from './fingerprint.js';
import { xenMachine } from './machine.js';
import { Xl } from './xl.js';

/** A dom0 in which xl says what it really said once. */
const recordedDom0 = (list: string) => ({
  xl: ([verb]: readonly string[]) => {
    const file = verb === 'info' ? 'xl-info.txt' : list;
    const stdout = readFileSync(join(import.meta.dirname, '__fixtures__/recorded', file), 'utf8');
    return Promise.resolve({ code: 0, stdout, stderr: '' });
  },
});
const MEBIBYTE = 1 << 20;

describe('the machine of a Xen host', () => {
  it("has the control domain as a part of it, with what Xen gives it and under Xen's own id", async () => {
    const { controlDomain } = await xenMachine(recordedDom0('xl-list-v.txt'));
    expect(controlDomain).toEqual({
      id: '00000000-0000-0000-0000-000000000000',
      memoryBytes: 1152 * MEBIBYTE,
      vcpus: 1,
    });
    expect(hostFacts.shape.controlDomain.parse(controlDomain)).toEqual(controlDomain);
  });

  it("keeps the control domain's memory from its guests, and what Xen itself needs", async () => {
    const { memoryBytes, reservedMemoryBytes, controlDomain } = await xenMachine(
      recordedDom0('xl-list-v.txt'),
    );
    expect(memoryBytes).toBe(2303 * MEBIBYTE);
    expect(reservedMemoryBytes).toBe(controlDomain.memoryBytes + 96 * MEBIBYTE);
  });

  it('is not described where xl shows no list with ids', async () => {
    const without = { xl: recordedDom0('xl-list.txt').xl };
    await expect(xenMachine(without)).rejects.toThrow('no list of xl');
  });
});

it('what Xen says that it has is told as it says it, beside what the driver makes of it', async () => {
  const { hypervisor, capabilities } = await xenFingerprint(new Xl(recordedDom0('xl-list-v.txt')));
  expect(hypervisor).toEqual({
    kind: 'xen',
    version: '4.17.7',
    accelerator: null,
    virtCaps: ['pv', 'hvm', 'hap', 'gnttab-v1', 'gnttab-v2'],
  });
  expect(capabilities.map(({ name }) => name)).toEqual(
    expect.arrayContaining(['virtualization.pv', 'virtualization.pvh']),
  );
});
