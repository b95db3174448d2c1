import { jest } from '@jest/globals';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import {
  openAtPrompt,
  untilPrinted,
  untilState,
  untilTold,
} from '../../src/hypervisor-driver/conformance/wait.js';
import { type RunnableDomain } from '../../src/hypervisor-driver/driver.js';
import { DomainFolder } from '../../src/hypervisor-driver/xen/guest-record.js';
import { xlConfig } from '../../src/hypervisor-driver/xen/xl-config.js';
import { newId } from '../../src/kernel/schema/values.js';
import { type TinyGuest } from './tiny-kernel.js';
import { aXenHost, type XenHost } from './xen-host.js';
import { type XenLab, openXenLab, xenObstacle } from './xen-lab.js';
import { describeUnless } from '../support/skippable.js';

/** How soon an end shows, unasked: two seconds where a call of xl takes a quarter of one, as on a machine that is not busy. */
const NOTICE_MS = 2_000;
const CALLS_OF_XL = 8;
const BOOT_MS = 180_000;
const OBEY_MS = 60_000;
jest.setTimeout(180_000);

const obstacle = await xenObstacle();

describeUnless(obstacle, 'the Xen driver on a real Xen', () => {
  let lab: XenLab;
  let host: XenHost;
  beforeAll(async () => {
    lab = await openXenLab();
  }, 600_000);
  afterAll(() => lab?.close(), 60_000);
  beforeEach(async () => {
    host = await aXenHost(lab.dom0);
  });
  afterEach(() => host.dispose());

  const tiny = (what: TinyGuest, over: Partial<RunnableDomain> = {}): RunnableDomain => ({
    ...host.aDomain(),
    boot: { kind: 'direct', kernel: host.tinyKernel(what), initramfs: null, commandLine: '' },
    ...over,
  });
  /** By how long a call of xl takes now: what a busy machine cannot do says nothing about the driver. */
  const noticeMs = async () => {
    const from = performance.now();
    await host.xl.list();
    return Math.max(NOTICE_MS, CALLS_OF_XL * (performance.now() - from));
  };
  const domidOf = async (id: string) => (await host.domains()).find(({ uuid }) => uuid === id)?.domid;
  const disk = (path: string, format: 'raw' | 'qcow2', readOnly = false) => ({
    id: newId(),
    path,
    format,
    bus: 'virtio' as const,
    readOnly,
  });
  /** Without an interrupt table a tiny guest's CPU fails at it, which is to Xen as if it had booted again. */
  const rebootTiny = async (id: string) =>
    void (await lab.dom0.xl(['trigger', `domus-${id}`, 'nmi'], { timeoutMs: 30_000 }));

  describe('an end', () => {
    it.each<[TinyGuest, 'halted' | 'crashed', string | null]>([
      ['powers off', 'halted', null],
      ['crashes', 'crashed', 'The guest crashed.'],
    ])(
      'of a guest that %s shows within two seconds, and what stood of it is gone by then',
      async (what, state, reason) => {
        const domain = tiny(what);
        const begin = async () => void (await host.driver.start(domain));
        expect(await untilTold(host.driver, domain.id, state, begin, await noticeMs())).toMatchObject({
          reason,
          pid: null,
        });
        expect(await host.domains()).toEqual([]);
      },
    );

    it('by its own reboot is a clean one where that was asked for', async () => {
      const domain = tiny('reboots', { onReboot: 'halt' });
      const begin = async () => void (await host.driver.start(domain));
      expect(await untilTold(host.driver, domain.id, 'halted', begin, await noticeMs())).toMatchObject({
        reason: null,
      });
    });
  });

  describe('a guest that boots again', () => {
    it('is made anew in the same run, and a force-off overtakes the making', async () => {
      const domain = tiny('reboots');
      await host.driver.start(domain);
      const first = await domidOf(domain.id);
      for (let now = first; now === undefined || now === first;) now = await domidOf(domain.id);
      expect(await host.driver.inspect(domain.id)).toMatchObject({ generation: 1, state: 'running' });
      await host.driver.forceOff(domain.id);
      expect(await host.driver.inspect(domain.id)).toMatchObject({ state: 'halted', reason: null });
      expect(await host.domains()).toEqual([]);
    });

    it('while no driver is there is made anew by the next one, or is over where that was asked for', async () => {
      const [again, once] = [tiny('waits'), tiny('waits', { onReboot: 'halt' })];
      await host.driver.start(again);
      await host.driver.start(once);
      const before = await domidOf(again.id);
      const next = await host.whileAway(async () => {
        await rebootTiny(again.id);
        await rebootTiny(once.id);
      });
      expect(await next.inspect(once.id)).toMatchObject({ state: 'halted', reason: null });
      expect(await next.inspect(again.id)).toMatchObject({ state: 'running', generation: 1 });
      // A pause waits until it is there again.
      expect(await next.pause(again.id)).toMatchObject({ state: 'paused' });
      expect(await domidOf(again.id)).toBeGreaterThan(before ?? Infinity);
    });
  });

  it('neither starts a second one beside a living guest whose record was lost, nor ends it unless it is told to', async () => {
    const domain = tiny('waits');
    await host.driver.start(domain);
    const domid = await domidOf(domain.id);
    const record = join(host.domainsDir, domain.id);
    const next = await host.whileAway(() => rm(record, { recursive: true }));
    expect(await next.inspect(domain.id)).toBeNull();
    for (const generation of [1, 2])
      await expect(next.start({ ...domain, generation })).rejects.toMatchObject({
        code: 'domain.bad_state',
        detail: expect.stringContaining('Force it off first'),
      });
    expect(await domidOf(domain.id)).toBe(domid);
    await next.forceOff(domain.id);
    expect(await host.domains()).toEqual([]);
    expect(await next.start({ ...domain, generation: 2 })).toMatchObject({ state: 'running' });
  });

  it('refuses every call for the control domain, by its own id, and tells of it nowhere', async () => {
    const listed = await host.xl.list();
    const id = listed.find(({ domid }) => domid === 0)?.uuid ?? '';
    const { driver } = host;
    for (const attempt of [
      driver.start({ ...host.aDomain(), id }),
      driver.askShutdown(id),
      driver.pause(id),
      driver.resume(id),
      driver.forceOff(id),
      driver.forget(id),
    ])
      await expect(attempt).rejects.toMatchObject({ code: 'domain.control_domain' });
    expect(await driver.list()).toEqual([]);
    expect(await host.leftovers()).toEqual([]);
    expect((await host.xl.list()).filter(({ uuid }) => uuid === id)).toMatchObject([
      { domid: 0, paused: false, shutdown: null },
    ]);
  });

  it('never touches dom0, or a domain that is not ours, though it have one of our UUIDs', async () => {
    const ours = host.aDomain();
    const foreign = xlConfig(ours).replace(`name="domus-${ours.id}"`, 'name="somebody else\'s"');
    await lab.dom0.xl(['create', '-q', '-e', '/dev/null', foreign], { timeoutMs: 60_000 });
    try {
      const next = await host.whileAway();
      expect(await next.list()).toEqual([]);
      await next.forceOff(ours.id);
      await next.start(ours);
      expect(await next.list()).toHaveLength(1);
      await next.forceOff(ours.id);
      expect((await host.domains()).map(({ name }) => name)).toEqual(["somebody else's"]);
    } finally {
      await lab.dom0.xl(['destroy', "somebody else's"], { timeoutMs: 60_000 });
    }
  });

  it('takes back a start that an agent was killed at, and ends the xl that still works on it', async () => {
    const domain = host.aDomain();
    const record = { domain, bootId: host.bootId, startedAt: new Date().toISOString() };
    let making: Promise<unknown> = Promise.resolve();
    const next = await host.whileAway(async () => {
      await (
        await new DomainFolder(host.domainsDir, domain.id).beginStart(record)
      ).durable;
      making = lab.dom0.xl(['create', '-q', '-e', '-p', '/dev/null', xlConfig(domain)], {
        timeoutMs: 60_000,
      });
    });
    await making;
    expect(await next.list()).toEqual([]);
    expect(await host.leftovers()).toEqual([]);
    expect(await next.start(domain)).toMatchObject({ state: 'running' });
  });

  it('sees what somebody does by hand: a pause, and a pause more than a resume', async () => {
    const { id } = await host.driver.start(host.aDomain());
    await host.xl.pause(id);
    await host.xl.pause(id);
    expect(await host.driver.inspect(id)).toMatchObject({ state: 'paused' });
    expect(await host.driver.resume(id)).toMatchObject({ state: 'running' });
    expect((await host.domains())[0]).toMatchObject({ paused: false });
  });

  it('has its configurations read by the real xl as they were meant', async () => {
    const domain: RunnableDomain = {
      ...host.aGuest(),
      virtualization: 'pv',
      vcpus: 2,
      boot: {
        kind: 'direct',
        kernel: '/srv/a "b" \\ ü/k',
        initramfs: "/srv/it's/i",
        commandLine: 'console=hvc0 a="b c" \\x , ; #',
      },
      disks: [
        disk('/dev/vg0/d1', 'raw'),
        disk('/srv/a,b=c, "d",', 'raw', true),
        disk('/srv/x.qcow2', 'qcow2'),
      ],
    };
    const { code, stdout } = await lab.dom0.xl(['-N', 'create', '/dev/null', xlConfig(domain)], {
      timeoutMs: 30_000,
    });
    expect(code).toBe(0);
    const { kernel, initramfs, commandLine } = domain.boot as Extract<
      RunnableDomain['boot'],
      { kind: 'direct' }
    >;
    expect(JSON.parse(stdout.slice(stdout.indexOf('{')))).toMatchObject({
      c_info: { type: 'pv', name: `domus-${domain.id}`, uuid: domain.id },
      b_info: {
        max_vcpus: 2,
        max_memkb: domain.memoryBytes / 1024,
        target_memkb: domain.memoryBytes / 1024,
        kernel,
        ramdisk: initramfs,
        cmdline: commandLine,
      },
      disks: [
        { pdev_path: '/dev/vg0/d1', vdev: 'xvda', backend: 'phy', format: 'raw', readwrite: 1 },
        { pdev_path: '/srv/a,b=c, "d",', vdev: 'xvdb', backend: 'qdisk', format: 'raw' },
        { pdev_path: '/srv/x.qcow2', vdev: 'xvdc', backend: 'qdisk', format: 'qcow2', readwrite: 1 },
      ],
      on_poweroff: 'preserve',
      on_reboot: 'preserve',
      on_watchdog: 'preserve',
      on_crash: 'preserve',
      on_soft_reset: 'preserve',
    });
  });

  it.each(['pvh', 'pv'] as const)(
    'runs a %s guest with a volume of LVM and a qcow2 file, which goes on undisturbed while drivers come and go',
    async (virtualization) => {
      const name = `${virtualization}-${newId().slice(-8)}`;
      const [lv, file] = [`exam-${name}`, `/srv/exam/${name}.qcow2`];
      await lab.run(['lvcreate', '-q', '-y', '-n', lv, '-L', '16M', 'vg0']);
      await lab.run(['qemu-img', 'create', '-q', '-f', 'qcow2', file, '64M']);
      const guest = host.aGuest();
      const domain: RunnableDomain = {
        ...guest,
        virtualization,
        boot: { ...guest.boot, commandLine: 'console=hvc0 quiet ticker' } as RunnableDomain['boot'],
        disks: [disk(`/dev/vg0/${lv}`, 'raw'), disk(file, 'qcow2')],
      };
      await host.driver.start(domain);
      const line = await openAtPrompt(host.driver, domain, BOOT_MS);
      const written = untilPrinted(line, 'BOTH-WRITTEN', OBEY_MS);
      const write = (text: string, to: string) =>
        `echo ${text} | dd of=/dev/${to} bs=512 conv=sync,fsync 2>/dev/null`;
      line.write(`${write('IN-LVM', 'xvda')} && ${write('IN-QCOW2', 'xvdb')} && echo BOTH-"WRITTEN"\n`);
      await written;
      const next = await host.whileAway();
      expect(await next.inspect(domain.id)).toMatchObject({ state: 'running', generation: 1 });
      const consoleId = domain.consoles[0]?.id ?? '';
      const ticks = async () =>
        [...(await next.consoleLog(domain.id, consoleId, 10_000)).matchAll(/tick (\d+)\r?\n/g)].map((one) =>
          Number(one[1]),
        );
      const sofar = (await ticks()).at(-1) ?? 0;
      await untilPrinted(await next.openConsole(domain.id, consoleId), `tick ${sofar + 5}\r\n`, OBEY_MS);
      const all = await ticks();
      expect(all).toEqual(all.map((_, index) => (all[0] ?? 0) + index));
      await next.askShutdown(domain.id);
      await untilState(next, domain.id, 'halted', OBEY_MS);
      const read = async (argv: string[]) => (await lab.run(argv)).slice(0, 8).trim();
      expect(await read(['head', '-c', '6', `/dev/vg0/${lv}`])).toBe('IN-LVM');
      await lab.run([
        'qemu-img',
        'dd',
        '-f',
        'qcow2',
        '-O',
        'raw',
        'bs=512',
        'count=1',
        `if=${file}`,
        `of=${file}.raw`,
      ]);
      expect(await read(['head', '-c', '8', `${file}.raw`])).toBe('IN-QCOW2');
      await lab.run(['lvremove', '-q', '-y', `vg0/${lv}`]);
    },
    BOOT_MS + 4 * OBEY_MS,
  );
});
