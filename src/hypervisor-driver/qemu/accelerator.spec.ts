import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type AcceleratorQuestion, decideAccelerator } from './accelerator.js';

/** Shell scripts stand in for QEMU here; test/qemu/kvm-probe.spec.ts asks the real one. */
describe('decideAccelerator', () => {
  let folder: string;
  let question: AcceleratorQuestion;
  const qemuThat = async (does: string) => {
    await writeFile(join(folder, 'qemu'), `#!/bin/sh\necho run >>${folder}/runs\n${does}\n`);
    await chmod(join(folder, 'qemu'), 0o755);
  };
  const runs = async () =>
    (await readFile(join(folder, 'runs'), 'utf8').catch(() => '')).split('\n').length - 1;

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'domus-kvm-'));
    await writeFile(join(folder, 'kvm'), '');
    question = {
      wanted: 'auto',
      binary: join(folder, 'qemu'),
      qemuVersion: '7.2.22',
      kernel: { kernelPath: '/k', initramfsPath: '/i', kernelVersion: '6.1.0', commandLine: 'console=ttyS0' },
      cacheFile: join(folder, 'cache/accelerator.json'),
      bootId: 'boot-1',
      kvmDevice: join(folder, 'kvm'),
      timeoutMs: 2_000,
    };
  });
  afterEach(() => rm(folder, { recursive: true }));

  it('is KVM once a kernel reached its first line of init', async () => {
    await qemuThat('echo "[0.0] Linux"; echo "GUEST-READY kernel=6.1.0"; exec sleep 60');
    expect(await decideAccelerator(question)).toMatchObject({ accelerator: 'kvm' });
  });

  it('is TCG when firmware runs and no kernel comes up in time', async () => {
    await qemuThat('echo SeaBIOS; exec sleep 60');
    expect(await decideAccelerator({ ...question, timeoutMs: 200 })).toEqual({
      accelerator: 'tcg',
      reason: expect.stringContaining('0.2 s'),
    });
  });

  it('is TCG when QEMU gives up, and says in QEMU’s words why', async () => {
    await qemuThat('echo "failed to set MSR 0x10a" >&2; exit 1');
    expect(await decideAccelerator(question)).toEqual({
      accelerator: 'tcg',
      reason: expect.stringContaining('failed to set MSR 0x10a'),
    });
  });

  it('is asked once per boot, kernel and QEMU', async () => {
    await qemuThat('exit 1');
    const first = await decideAccelerator(question);
    expect(await decideAccelerator(question)).toEqual(first);
    expect(await runs()).toBe(1);
    await decideAccelerator({ ...question, bootId: 'boot-2' });
    await decideAccelerator({ ...question, bootId: 'boot-2', qemuVersion: '8.0.0' });
    expect(await runs()).toBe(3);
  });

  it('is TCG without a kernel to try or a device, and that is not remembered', async () => {
    await qemuThat('echo GUEST-READY; exec sleep 60');
    expect(await decideAccelerator({ ...question, kernel: null })).toMatchObject({ accelerator: 'tcg' });
    expect(await decideAccelerator({ ...question, kvmDevice: join(folder, 'none') })).toMatchObject({
      accelerator: 'tcg',
    });
    expect(await runs()).toBe(0);
    expect(await decideAccelerator(question)).toMatchObject({ accelerator: 'kvm' });
  });

  it('is what was asked for, without a probe', async () => {
    expect(await decideAccelerator({ ...question, wanted: 'kvm' })).toMatchObject({ accelerator: 'kvm' });
    expect(await decideAccelerator({ ...question, wanted: 'tcg' })).toMatchObject({ accelerator: 'tcg' });
    expect(await runs()).toBe(0);
  });

  it('asks again when the kept answer cannot be read', async () => {
    await qemuThat('exit 1');
    await decideAccelerator(question);
    await writeFile(question.cacheFile, '{');
    await decideAccelerator(question);
    expect(await runs()).toBe(2);
  });
});
