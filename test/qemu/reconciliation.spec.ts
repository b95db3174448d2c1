import { existsSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { identify, isAlive } from '../../src/launcher/process/process-table.js';
import { DomusCommand } from '../support/domus-command.js';
import { eventually } from '../support/eventually.js';
import { httpFaces, type HttpFaces } from '../support/http-faces.js';

/** The real command over real guests: what happens to them behind its back, and an inventory that is older than they are. */
const domus = new DomusCommand();
let faces: HttpFaces;
let demo: Domain;

interface Domain {
  readonly id: string;
  readonly state: string;
  readonly desiredState: string;
  readonly stateReason: string | null;
  readonly pid: number | null;
  readonly generation: number;
  readonly poolId: string;
  readonly boot: object;
  readonly disks: readonly { readonly volumeId: string }[];
  readonly revision: number;
}
interface Event {
  readonly type: string;
  readonly operationId: string | null;
  readonly changes: Record<string, unknown>;
}

const domain = async (id: string): Promise<Domain> =>
  (await faces.rest('GET', `/v1/domains/${id}`)).body as Domain;
const connect = async (): Promise<void> => {
  faces = httpFaces((await domus.status()).url ?? '', domus.token);
};
const eventOf = (id: string, type: string, found: (event: Event) => boolean): Promise<Event> =>
  eventually(
    async () => {
      const filter = encodeURIComponent(`object.id = "${id}" and type = "${type}"`);
      const { body } = await faces.rest('GET', `/v1/events?limit=1000&filter=${filter}`);
      return (body as { items: Event[] }).items.find(found);
    },
    { within: 2_000, what: `${type} of ${id}` },
  );
const running = (id: string, within = 20_000): Promise<Domain> =>
  eventually(
    async () => {
      const one = await domain(id);
      return one.state === 'running' && one;
    },
    { within, what: `domain ${id} running` },
  );
const operate = async (path: string, body?: unknown): Promise<string> => {
  const { state, error, target } = await faces.operate('POST', path, body);
  expect([path, state, error]).toEqual([path, 'succeeded', null]);
  return target.id;
};
const startedWith = async (over: object = {}): Promise<Domain> => {
  const { poolId, boot } = demo;
  const id = await operate('/v1/domains', { name: 'guest', poolId, memoryBytes: 2 ** 27, boot, ...over });
  await operate(`/v1/domains/${id}/start`);
  return domain(id);
};
const kill = (pid: number | null): void => void process.kill(pid ?? 0, 'SIGKILL');

beforeAll(async () => {
  await domus.lendBootKit();
  await domus.up('--demo');
  await connect();
  const { items } = (await faces.rest('GET', '/v1/domains')).body as { items: Domain[] };
  demo = items[0]!;
}, 300_000);
afterAll(() => domus.remove(), 120_000);

it('a guest whose QEMU is killed by hand is an event within two seconds, and no operation is blamed for it', async () => {
  const { id, pid } = await startedWith();
  kill(pid);
  const told = await eventOf(id, 'domain.state_changed', ({ changes }) => changes['state'] === 'crashed');
  expect([told.operationId, told.changes['cause']]).toEqual([null, 'out_of_band']);
  await eventOf(id, 'domain.out_of_band', ({ changes }) => changes['reaction'] === 'adopted');
  expect(await domain(id)).toMatchObject({ state: 'crashed', desiredState: 'halted', pid: null });
}, 60_000);

it('a guest that is to be started again after a crash is, as another QEMU', async () => {
  const { id, pid } = await startedWith({ onCrash: 'restart' });
  kill(pid);
  await eventOf(id, 'domain.out_of_band', ({ changes }) => changes['reaction'] === 'restarting');
  await eventually(async () => (await domain(id)).generation === 2, { within: 10_000 });
  const again = await running(id);
  expect(again.pid).not.toBe(pid);
  // The start that brought it back may still be ending.
  await operate(`/v1/domains/${id}/force-off?onBusy=wait`);
}, 60_000);

it('a volume whose file is removed is missing within two seconds', async () => {
  const { items } = (await faces.rest('GET', '/v1/storage-repositories')).body as {
    items: { id: string; path: string }[];
  };
  const [repository] = items;
  const input = { name: 'v', repositoryId: repository?.id, sizeBytes: 1024 * 1024 };
  const id = await operate('/v1/volumes', input);
  rmSync(join(repository?.path ?? '', 'volumes', `${id}.raw`));
  const told = await eventOf(id, 'volume.missing', () => true);
  expect(told).toMatchObject({ operationId: null, changes: { state: 'missing' } });
}, 60_000);

it('after `restore` of an old copy a guest that was made since is back with its disk, its process and its uptime', async () => {
  const file = join(domus.data, 'old.backup');
  expect(await domus.run(['backup', file])).toMatchObject({ code: 0 });
  const { items } = (await faces.rest('GET', '/v1/storage-repositories')).body as { items: { id: string }[] };
  const disk = { name: 'disk', repositoryId: items[0]?.id, sizeBytes: 1024 * 1024 };
  const volumeId = await operate('/v1/volumes', disk);
  const before = await startedWith({ name: 'since', disks: [{ volumeId }], nics: [{}] });
  const guest = identify(before.pid ?? 0);
  if (!guest) throw new Error('The guest has no process.');

  expect(await domus.run(['down'])).toMatchObject({ code: 0 });
  expect(await domus.run(['restore', file, '--force'])).toMatchObject({ code: 0 });
  await domus.up();
  await connect();
  const after = await running(before.id, 30_000);
  expect(after).toMatchObject({
    pid: before.pid,
    generation: 1,
    desiredState: 'running',
    disks: before.disks,
  });
  // The same process since the same moment: nothing was started again.
  expect(isAlive(guest)).toBe(true);
  expect((await faces.rest('GET', `/v1/volumes/${volumeId}`)).body).toMatchObject({
    name: 'disk',
    state: 'ready',
    domainIds: [before.id],
  });
  expect(existsSync(join(domus.data, 'agent', 'domains', before.id))).toBe(true);
  await operate(`/v1/domains/${before.id}/force-off`);
  expect(await faces.operate('DELETE', `/v1/domains/${before.id}`)).toMatchObject({ state: 'succeeded' });
  expect(readdirSync(join(domus.data, 'agent', 'domains'))).not.toContain(before.id);
}, 180_000);
