import { jest } from '@jest/globals';
import { copyFileSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { type LabPool, openLabPool } from '../lab/lab-pool.js';
import { prepareLab } from '../lab/obstacle.js';
import { testBootKit } from '../support/boot-kit.js';
import { type ConsoleClient, openConsole } from '../support/console-client.js';
import { eventually } from '../support/eventually.js';
import { httpFaces, type HttpFaces } from '../support/http-faces.js';
import { type QemuAgent, qemuAgent } from '../support/qemu-agent.js';
import { describeUnless } from '../support/skippable.js';
import { type TinyGuest } from './tiny-kernel.js';
import { layKernels, tinyPath } from './xen-host.js';

/** An emulated processor boots a Linux in this time, beside a second guest and a dom0. */
const BOOT_MS = 180_000;
/** An operation on it: a call of xl takes a second, a start 6 to 25. */
const OPERATION_MS = 120_000;
/** How soon an end shows, unasked: two seconds where a call of xl takes a quarter of one. */
const NOTICE_MS = 2_000;
const CALLS_OF_XL = 8;
/** A balloon stops a little beside what it was told. */
const BESIDE = 8 << 20;
const FOLDER = '/srv/exam';
jest.setTimeout(400_000);

interface Domain {
  readonly id: string;
  readonly state: string;
  readonly generation: number;
  readonly hostId: string | null;
}

const obstacle = await prepareLab();

/** The whole road: REST, server, mutual TLS, the agent in a real dom0, its driver, xl. And a host of QEMU in the same pool. */
describeUnless(obstacle, 'a Xen host in a pool', () => {
  let pool: LabPool;
  let faces: HttpFaces;
  let xenId: string;
  let folderId: string;
  let groupId: string;
  let count = 0;
  const host = () => pool.lab.host('xen-1');
  const watched = <T>(act: () => Promise<T>): Promise<T> =>
    pool.lab.watched(expect.getState().currentTestName ?? '', act);

  const done = async (method: 'POST' | 'DELETE', path: string, body?: unknown): Promise<string> => {
    const accepted = await faces.rest(method, path, body);
    if (accepted.status !== 202) throw new Error(`${method} ${path}: ${accepted.status} ${accepted.text}`);
    const { state, error, target } = await faces.ended((accepted.body as { id: string }).id, OPERATION_MS);
    expect([path, state, error]).toEqual([path, 'succeeded', null]);
    return target.id;
  };
  const domain = async (id: string): Promise<Domain> =>
    (await faces.rest('GET', `/v1/domains/${id}`)).body as Domain;
  const inState = (id: string, state: string, within = OPERATION_MS): Promise<Domain> =>
    eventually(
      async () => {
        const now = await domain(id);
        return now.state === state && now;
      },
      { within, what: `that ${id} is ${state}` },
    );
  const defined = (kernel: string, over: object = {}): Promise<string> => {
    const boot = { kernel: { repositoryId: folderId, path: kernel } };
    return done('POST', '/v1/domains', {
      ...{
        name: `guest-${++count}`,
        poolId: pool.server.poolId,
        memoryBytes: 16 << 20,
        boot,
        consoles: [{ kind: 'serial' }],
      },
      ...over,
    });
  };
  const tiny = (what: TinyGuest, over: object = {}): Promise<string> =>
    defined(tinyPath(what).slice(FOLDER.length + 1), { virtualization: 'pvh', ...over });
  /** Guests that Xen has, by their ids. */
  const guests = async (): Promise<string[]> => {
    const listed = JSON.parse(await host().run(['xl', 'list', '-l'])) as {
      domid: number;
      config: { c_info: { uuid: string } };
    }[];
    return listed.filter(({ domid }) => domid !== 0).map(({ config }) => config.c_info.uuid);
  };
  const noticeMs = async (): Promise<number> => {
    const from = performance.now();
    await host().run(['xl', 'list']);
    return Math.max(NOTICE_MS, CALLS_OF_XL * (performance.now() - from));
  };

  beforeAll(async () => {
    const kit = await testBootKit();
    pool = await openLabPool({ xen: 1 });
    faces = httpFaces(pool.server.url, pool.server.token);
    await watched(async () => {
      xenId = String((await pool.online('xen-1'))['id']);
      const shell = {
        open: host().open.bind(host()),
        run: host().try.bind(host()),
        put: host().put.bind(host()),
      };
      await layKernels(shell, kit);
      // What was laid took all of an emulated processor: its agent may have been given up meanwhile.
      await pool.online('xen-1');
      const { poolId } = pool.server;
      const repository = (name: string, more: object) =>
        done('POST', '/v1/storage-repositories', { name, poolId, hostId: xenId, ...more });
      folderId = await repository('images', { path: FOLDER });
      groupId = await repository('volumes', { kind: 'lvm', path: '/dev/vg0' });
    });
  }, 600_000);
  afterAll(() => pool?.close(), 120_000);

  it('says what it is, and shows dom0 as the control domain, which nobody stops or moves', () =>
    watched(async () => {
      const { body } = await faces.rest('GET', `/v1/hosts/${xenId}?include=actions`);
      expect(body).toMatchObject({
        state: 'online',
        hypervisor: {
          kind: 'xen',
          version: expect.stringMatching(/^4\.17/),
          virtCaps: expect.arrayContaining(['pv', 'hvm']),
        },
        controlDomain: {
          vcpus: 1,
          actions: { adjust: { allowed: true }, stop: { allowed: false }, migrate: { allowed: false } },
        },
      });
      const { controlDomain, reservedMemoryBytes } = body as {
        controlDomain: { id: string; memoryBytes: number };
        reservedMemoryBytes: number;
      };
      expect(controlDomain.memoryBytes).toBeLessThanOrEqual(reservedMemoryBytes);
      const itself = `/v1/domains/${controlDomain.id}`;
      const input = { id: controlDomain.id, name: 'dom0', poolId: pool.server.poolId, memoryBytes: 16 << 20 };
      for (const [method, path, body] of [
        ...['start', 'shutdown', 'reboot', 'pause', 'resume', 'force-off', 'reset'].map(
          (verb) => ['POST', `${itself}/${verb}`, verb === 'shutdown' ? {} : undefined] as const,
        ),
        ['DELETE', itself, undefined] as const,
        ['POST', '/v1/domains', { ...input, boot: { firmware: 'bios' } }] as const,
      ]) {
        const refused = await faces.rest(method, path, body);
        const { code } = refused.body as { code: string };
        expect([path, refused.status, code]).toEqual([path, 409, 'domain.control_domain']);
      }
      expect((await faces.rest('GET', '/v1/domains')).body).toMatchObject({ items: [] });
    }));

  it('gives dom0 less memory and gives it back, while it runs and answers', () =>
    watched(async () => {
      const shown = async (): Promise<number> => {
        const { body } = await faces.rest('GET', `/v1/hosts/${xenId}`);
        return (body as { controlDomain: { memoryBytes: number } }).controlDomain.memoryBytes;
      };
      const mib = async (): Promise<number> => {
        const [, line = ''] = (await host().run(['xl', 'list', '0'])).split('\n');
        return Number(/^Domain-0 +0 +(\d+)/.exec(line)?.[1]);
      };
      const before = await shown();
      for (const memoryBytes of [before - (96 << 20), before]) {
        await done('POST', `/v1/hosts/${xenId}/adjust-control-domain`, { memoryBytes });
        expect(Math.abs((await shown()) - memoryBytes)).toBeLessThanOrEqual(BESIDE);
        expect(Math.abs((await mib()) * (1 << 20) - memoryBytes)).toBeLessThanOrEqual(BESIDE);
      }
      const { status, body } = await faces.rest('POST', `/v1/hosts/${xenId}/adjust-control-domain`, {
        vcpus: 2,
      });
      expect([status, (body as { code: string }).code]).toEqual([422, 'request.invalid']);
    }));

  it.each([
    ['pvh', 'a volume of LVM'],
    ['pv', 'a qcow2 file'],
  ] as const)(
    'runs a %s guest on %s through its whole life, and its agent’s death in the midst of it',
    (virtualization, _disk) =>
      watched(async () => {
        const lvm = virtualization === 'pvh';
        const volumeId = await done('POST', '/v1/volumes', {
          ...{ name: `disk-${virtualization}`, repositoryId: lvm ? groupId : folderId },
          ...{ format: lvm ? 'raw' : 'qcow2', sizeBytes: 16 << 20 },
        });
        const file = (path: string) => ({ repositoryId: folderId, path });
        const id = await done('POST', '/v1/domains', {
          ...{
            name: `life-${virtualization}`,
            poolId: pool.server.poolId,
            memoryBytes: 128 << 20,
            virtualization,
          },
          boot: {
            kernel: file('vmlinuz'),
            initramfs: file('initramfs'),
            commandLine: 'console=hvc0 quiet ticker',
          },
          ...{ disks: [{ volumeId }], consoles: [{ kind: 'serial' }] },
        });
        await done('POST', `/v1/domains/${id}/start`);
        expect(await domain(id)).toMatchObject({ state: 'running', hostId: xenId, generation: 1 });
        const line = await openConsole(faces, id);
        await line.says('tick 3\r\n', BOOT_MS);
        await written(line);

        await done('POST', `/v1/domains/${id}/pause`);
        expect(await inState(id, 'paused')).toMatchObject({ generation: 1 });
        await done('POST', `/v1/domains/${id}/resume`);
        await inState(id, 'running');

        const before = await guests();
        await host().killAgent();
        await eventually(async () => (await hostState()) === 'offline', {
          within: 60_000,
          what: 'that the host is away',
        });
        await host().startAgent();
        await pool.online('xen-1');
        expect(await inState(id, 'running')).toMatchObject({ generation: 1, hostId: xenId });
        expect(await guests()).toEqual(before);
        const again = await openConsole(faces, id);
        const last = (await ticks(id)).at(-1) ?? 0;
        await again.says(`tick ${last + 5}\r\n`, BOOT_MS);
        const all = await ticks(id);
        expect(all).toEqual(all.map((_, at) => (all[0] ?? 0) + at));
        await again.close();

        await done('POST', `/v1/domains/${id}/shutdown`, { deadlineSeconds: 90 });
        await inState(id, 'halted');
        expect(await guests()).toEqual([]);
        if (lvm)
          expect((await host().run(['head', '-c', '7', `/dev/vg0/${await lvOf()}`])).slice(0, 7)).toBe(
            'ON-DISK',
          );
        await done('DELETE', `/v1/domains/${id}`);
        await done('DELETE', `/v1/volumes/${volumeId}`);
        expect((await faces.rest('GET', `/v1/domains/${id}`)).status).toBe(404);
        expect((await host().run(['lvs', '--noheadings', '-o', 'lv_name', 'vg0'])).trim()).toBe('');
      }),
  );

  it.each<[TinyGuest, string]>([
    ['powers off', 'halted'],
    ['crashes', 'crashed'],
  ])('shows within two seconds that a guest %s, and reaps what is left of it', (what, state) =>
    watched(async () => {
      const id = await tiny(what);
      const soon = await noticeMs();
      await done('POST', `/v1/domains/${id}/start`);
      await inState(id, state, soon);
      expect(await guests()).toEqual([]);
      await done('DELETE', `/v1/domains/${id}`);
    }),
  );

  it('forces off a guest that hears nothing, also when its shutdown has waited in vain', () =>
    watched(async () => {
      const [first, second] = [await tiny('waits'), await tiny('waits')];
      for (const id of [first, second]) await done('POST', `/v1/domains/${id}/start`);
      await done('POST', `/v1/domains/${first}/force-off`);
      await done('POST', `/v1/domains/${second}/shutdown`, { deadlineSeconds: 2, force: true });
      expect(await guests()).toEqual([]);
      for (const id of [first, second]) {
        expect(await inState(id, 'halted')).toMatchObject({ hostId: null });
        await done('DELETE', `/v1/domains/${id}`);
      }
    }));

  it('stands beside a host of QEMU: one domain on each, in one list, by the same verbs', () =>
    watched(async () => {
      const kit = await testBootKit();
      const { poolId, folder } = pool.server;
      let qemu: QemuAgent | undefined;
      try {
        qemu = await qemuAgent(pool.server, folder, 'q');
        const path = join(folder, 'images');
        mkdirSync(path);
        copyFileSync(kit.kernelPath, join(path, 'kernel'));
        copyFileSync(kit.initramfsPath, join(path, 'initramfs'));
        const repositoryId = await done('POST', '/v1/storage-repositories', {
          name: 'here',
          poolId,
          path,
          hostId: qemu.hostId,
        });
        const boot = {
          ...{ kernel: { repositoryId, path: 'kernel' }, initramfs: { repositoryId, path: 'initramfs' } },
          commandLine: `${kit.commandLine} quiet`,
        };
        const onQemu = await done('POST', '/v1/domains', {
          name: 'on-qemu',
          poolId,
          memoryBytes: 128 << 20,
          boot,
        });
        const onXen = await tiny('waits', { name: 'on-xen' });
        const both = [onXen, onQemu];
        for (const [verb, state] of [
          ['start', 'running'],
          ['pause', 'paused'],
          ['resume', 'running'],
        ] as const)
          for (const id of both) {
            await done('POST', `/v1/domains/${id}/${verb}`);
            await inState(id, state);
          }
        const { items } = (await faces.rest('GET', '/v1/domains')).body as { items: Domain[] };
        expect(items.map(({ id, state, hostId }) => [id, state, hostId]).sort()).toEqual(
          [
            [onXen, 'running', xenId],
            [onQemu, 'running', qemu.hostId],
          ].sort(),
        );
        expect(await guests()).toEqual([onXen]);
        expect(qemu.pids()).toHaveLength(1);
        for (const id of both) {
          await done('POST', `/v1/domains/${id}/force-off`);
          await inState(id, 'halted');
          await done('DELETE', `/v1/domains/${id}`);
        }
        expect(await guests()).toEqual([]);
        expect(qemu.pids()).toEqual([]);
        expect(qemu.faults).toEqual([]);
      } finally {
        await qemu?.end();
      }
    }));

  const hostState = async (): Promise<unknown> =>
    ((await faces.rest('GET', `/v1/hosts/${xenId}`)).body as { state: unknown }).state;
  const lvOf = async (): Promise<string> =>
    (await host().run(['lvs', '--noheadings', '-o', 'lv_name', 'vg0'])).trim();
  const ticks = async (id: string): Promise<number[]> => {
    const { consoles } = (await faces.rest('GET', `/v1/domains/${id}`)).body as {
      consoles: { id: string }[];
    };
    const { text } = await faces.rest('GET', `/v1/consoles/${consoles[0]?.id}/log?tail=10000`);
    return [...text.matchAll(/tick (\d+)\r?\n/g)].map(([, tick]) => Number(tick));
  };
  const written = async (line: ConsoleClient): Promise<void> => {
    line.type(`echo ON-DISK | dd of=/dev/xvda bs=512 conv=sync,fsync 2>/dev/null && echo "WRITTEN"-TO-IT\n`);
    await line.says('WRITTEN-TO-IT', BOOT_MS);
    await line.close();
  };
});
