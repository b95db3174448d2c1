import {
  attachRepository,
  createVolume,
  deleteVolume,
  endExecutor,
  type RepositoryRef,
  type VolumeRef,
} from '../../../src/agent-contract/index.js';
import { newId } from '../../../src/kernel/schema/values.js';
import { FakeBackend } from '../../../src/storage-backend/fake/fake-backend.js';
import {
  aFence,
  type LinkedAgent,
  type LinkedServer,
  linkedServer,
  until,
} from '../../support/linked-hosts.js';

/** A storage repository has one executor at a time: an agent refuses whatever comes under an older one. */
let server: LinkedServer;
let host: LinkedAgent;
let storage: FakeBackend;
let repository: RepositoryRef;
beforeAll(async () => {
  server = await linkedServer();
}, 60_000);
afterAll(() => server.close());
beforeEach(async () => {
  storage = new FakeBackend();
  host = await server.agent({ storage });
  const id = newId();
  repository = { id, kind: 'directory', path: `/srv/${id}` };
  const fence = fenceAt(5);
  await server.links.call(host.hostId, attachRepository, { repository, create: true }, { fence });
});
afterEach(() => host.agent.close());

const fenceAt = (generation: number) => aFence({ executor: { repositoryId: repository.id, generation } });
const aVolume = (): VolumeRef => ({ id: newId(), repository, format: 'raw' });
const make = (volume: VolumeRef, fence = fenceAt(5)) =>
  server.links.call(host.hostId, createVolume, { volume, sizeBytes: 512 }, { fence });
const end = (generation: number) =>
  server.links.call(
    host.hostId,
    endExecutor,
    { repositoryId: repository.id },
    { fence: fenceAt(generation) },
  );
const made = async (): Promise<string[]> => (await storage.listVolumes(repository)).map(({ id }) => id);

it('a call of a former executor is refused, audited, and changes nothing; also after a restart', async () => {
  const volume = aVolume();
  await make(volume, fenceAt(6));
  const late = () => [
    make(aVolume(), fenceAt(5)),
    server.links.call(host.hostId, deleteVolume, { volume }, { fence: fenceAt(5) }),
    server.links.call(host.hostId, attachRepository, { repository, create: true }, { fence: fenceAt(5) }),
  ];
  for (const call of late()) await expect(call).rejects.toMatchObject({ code: 'call.fenced' });
  expect(server.logged()).toMatch(/"audit":"call.fenced".*"call":"storage.deleteVolume"/);

  await host.agent.close();
  host = await server.agent({ name: host.name, folder: host.folder, storage });
  for (const call of late()) await expect(call).rejects.toMatchObject({ code: 'call.fenced' });
  expect(await made()).toEqual([volume.id]);
});

it('an executor that is told to end answers when nothing of its own is under way any more, and begins nothing', async () => {
  let goOn = (): void => undefined;
  storage.faults.fail('createVolume', { until: new Promise<void>((resolve) => (goOn = resolve)) });
  const first = aVolume();
  const running = make(first);
  await until('the first call runs', () => storage.faults.waiting === 1);
  // It waits for its turn on the same volume.
  const behind = expect(
    server.links.call(host.hostId, deleteVolume, { volume: first }, { fence: fenceAt(5) }),
  ).rejects.toMatchObject({ code: 'call.fenced' });
  let ended = false;
  const ending = end(6).then(() => (ended = true));
  await until('it is refused what is late', () =>
    make(aVolume()).then(
      () => false,
      ({ code }: { code: string }) => code === 'call.fenced',
    ),
  );
  expect(ended).toBe(false);
  goOn();
  await running;
  await ending;
  await behind;
  expect(await made()).toContain(first.id);
  await expect(make(aVolume())).rejects.toMatchObject({ code: 'call.fenced' });
});

it('a server that knows no executors is obeyed, and a fence about another repository is refused', async () => {
  await end(6);
  await make(aVolume(), aFence());
  const other = aFence({ executor: { repositoryId: newId(), generation: 7 } });
  await expect(make(aVolume(), other)).rejects.toMatchObject({ code: 'request.invalid' });
  expect(await made()).toHaveLength(1);
});
