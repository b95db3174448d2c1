import { randomUUID } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describeUnless } from '../support/skippable.js';
import { SmallDisk, smallDiskObstacle } from '../support/small-disk.js';
import { startWholeServer, type WholeServer } from '../support/whole-server.js';
import { Arena } from './arena.js';
import { type Answer } from './api-caller.js';
import { convergedAfter } from './expect-whole.js';
import { Janitor } from './janitor.js';

const obstacle = smallDiskObstacle();
const bios = { memoryBytes: 16 << 20, boot: { firmware: 'bios', order: ['network'] } };
const say = (line: string): void => void process.stderr.write(`${line}\n`);
const MEBIBYTE = 1 << 20;

describeUnless(obstacle, 'a disk that is full under PostgreSQL', () => {
  let arena: Arena;
  beforeAll(async () => {
    arena = await Arena.open({
      servers: { api: 'api,link', worker: 'worker' },
      agents: { agent: 2 },
      postgresDiskBytes: 192 * MEBIBYTE,
    });
  }, 240_000);
  afterAll(async () => expect(await arena.close()).toEqual([]), 60_000);

  const create = async (): Promise<{ id: string; answer: Answer }> => {
    const id = randomUUID();
    const input = { id, name: id, poolId: arena.poolId, ...bios };
    return { id, answer: await arena.api.once('POST', '/v1/domains', input) };
  };
  /** Asks until the database has no room for what is asked. */
  const untilRefused = async (accepted: string[], refused: string[]): Promise<Answer> => {
    for (let asked = 0; ; asked += 1) {
      const { id, answer } = await create();
      if (answer.status !== 202) {
        refused.push(id);
        return answer;
      }
      accepted.push(id);
      if (asked > 5_000) throw new Error('A full disk takes everything.');
    }
  };

  it('refuses writes with 503 and does nothing by halves, goes on reading, and serves again as soon as there is room, with no part started anew', async () => {
    const [accepted, refused]: [string[], string[]] = [[], []];
    const { id: old } = await create();
    accepted.push(old);
    const start = await arena.api.ask<{ id: string }>('POST', `/v1/domains/${old}/start`);
    expect((await arena.api.ended(start.id)).state).toBe('succeeded');
    const pids = [...arena.programs.map(({ pid }) => pid), arena.postgres.pid];

    arena.postgres.disk?.fill();
    const answer = await untilRefused(accepted, refused);
    expect([answer.status, answer.body['code']]).toEqual([503, 'database.unavailable']);
    expect((await arena.api.once('GET', `/v1/domains/${old}`)).status).toBe(200);

    arena.postgres.disk?.free();
    const freed = performance.now();
    let served = (await create()).answer;
    while (served.status !== 202 && performance.now() - freed < 30_000) served = (await create()).answer;
    expect(served.status).toBe(202);
    const servedMs = performance.now() - freed;
    const calmMs = await convergedAfter(arena);
    say(
      `room again under PostgreSQL: served after ${servedMs.toFixed(0)} ms, all at rest ${calmMs.toFixed(0)} ms later`,
    );
    for (const id of accepted) expect((await arena.api.once('GET', `/v1/domains/${id}`)).status).toBe(200);
    for (const id of refused) expect((await arena.api.once('GET', `/v1/domains/${id}`)).status).toBe(404);
    expect([...arena.programs.map(({ pid }) => pid), arena.postgres.pid]).toEqual(pids);
    expect(arena.misfortunes).toEqual([]);
  }, 240_000);

  it('lets PostgreSQL fall when its own log cannot grow: writes are refused with 503, nothing acknowledged is lost, and once there is room and it is started again all goes on', async () => {
    const [accepted, refused]: [string[], string[]] = [[], []];
    arena.postgres.disk?.fill();
    // The rest of its present segment is the last room that the log has.
    await arena.rows('select pg_switch_wal()').catch(() => undefined);
    const answers: Answer[] = [];
    for (let asked = 0; asked < 40; asked += 1) {
      const { id, answer } = await create();
      answers.push(answer);
      (answer.status === 202 ? accepted : refused).push(id);
    }
    const codes = new Set(
      answers.map(({ status, body }) => `${status} ${String(body['code'] ?? '')}`.trim()),
    );
    say(`the log cannot grow: ${[...codes].join(', ')}`);
    arena.postgres.disk?.free();
    // It cannot recover without room for its log, and ends. `./domus up` starts it again; nothing else needs to be.
    await arena.restartPostgres();
    const freed = performance.now();
    expect([...codes].filter((code) => code !== '202')).toEqual(['503 database.unavailable']);
    let served = (await create()).answer;
    while (served.status !== 202 && performance.now() - freed < 30_000) served = (await create()).answer;
    say(`served ${(performance.now() - freed).toFixed(0)} ms after it was started again`);
    expect(served.status).toBe(202);
    await convergedAfter(arena);
    for (const id of accepted) expect((await arena.api.once('GET', `/v1/domains/${id}`)).status).toBe(200);
    expect(arena.misfortunes).toEqual([]);
  }, 240_000);
});

describeUnless(obstacle, 'a disk that is full on a host', () => {
  let whole: WholeServer;
  let janitor: Janitor;
  const disks: SmallDisk[] = [];
  const small = (name: string, bytes: number): SmallDisk => {
    const disk = SmallDisk.mount(join(whole.folder, name), bytes);
    janitor.mount(disk.path);
    disks.push(disk);
    return disk;
  };
  beforeAll(async () => {
    whole = await startWholeServer();
    janitor = new Janitor();
    janitor.folder(whole.folder);
  }, 60_000);
  afterAll(async () => {
    for (const disk of disks) disk.unmount();
    await whole.close();
    expect(await janitor.finish()).toEqual([]);
  }, 60_000);

  const leftOf = async (operationId: unknown): Promise<unknown[]> =>
    whole.rows(
      `select 'lock' as what from object_lock where operation_id = $1
        union all select 'hold' from hold where operation_id = $1
        union all select 'outbox' from outbox where operation_id = $1`,
      [operationId],
    );

  it('under its journal: nothing is done that could not be remembered, a force-off ends its guest all the same, and work is taken again once there is room', async () => {
    const disk = small('cramped', MEBIBYTE);
    const host = await whole.addHost({ name: 'cramped' });
    const domain = async (name: string) => {
      const made = await whole.operate('POST', '/v1/domains', { name, poolId: whole.poolId, ...bios });
      return made.target.id;
    };
    const [running, stopped] = [await domain('running'), await domain('stopped')];
    const verb = (id: string, name: string) => whole.operate('POST', `/v1/domains/${id}/${name}`);
    const { hypervisor } = host.driver;
    const living = () =>
      hypervisor.ids().filter((id) => ['running', 'paused'].includes(hypervisor.get(id)?.state ?? ''));
    expect((await verb(running, 'start')).state).toBe('succeeded');

    disk.fill();
    let refused = await verb(stopped, 'start');
    // What is left of the page that the journal ends in takes a few lines more.
    for (let more = 0; refused.state === 'succeeded' && more < 50; more += 1) {
      await verb(stopped, 'force-off');
      refused = await verb(stopped, 'start');
    }
    expect([refused.state, refused.error?.code]).toEqual(['failed', 'host.journal_unavailable']);
    expect(living()).toEqual([running]);
    expect(await leftOf(refused.id)).toEqual([]);
    expect(await whole.rows('select from claim where domain_id = $1', [stopped])).toEqual([]);
    expect((await whole.rest('GET', `/v1/domains/${stopped}`)).body['state']).toBe('halted');
    expect((await verb(running, 'pause')).error?.code).toBe('host.journal_unavailable');
    expect((await verb(running, 'force-off')).state).toBe('succeeded');
    expect(living()).toEqual([]);

    disk.free();
    expect((await verb(stopped, 'start')).state).toBe('succeeded');
    await host.restart();
    expect((await verb(stopped, 'pause')).state).toBe('succeeded');
    expect(living()).toEqual([stopped]);
  }, 120_000);

  it.each(['raw', 'qcow2'])(
    'under a repository: a %s volume is refused as what does not fit, no piece of it is left, and it is made once there is room',
    async (format) => {
      const host = await whole.addHost({ name: `storing-${format}` });
      const disk = small(`images-${format}`, 4 * MEBIBYTE);
      const repository = await whole.operate('POST', '/v1/storage-repositories', {
        name: `images-${format}`,
        poolId: whole.poolId,
        path: disk.path,
        hostId: host.hostId,
      });
      expect(repository.state).toBe('succeeded');
      const input = { name: 'v', repositoryId: repository.target.id, format, sizeBytes: 512 };
      disk.fill();
      const atTheDoor = await whole.rest('POST', '/v1/volumes', input);
      expect([atTheDoor.status, atTheDoor.body['code']]).toEqual([409, 'storage_repository.full']);
      if (format === 'qcow2') {
        // Room for what is asked, and not for the file that it takes.
        disk.fill({ butFor: 65_536 });
        const failed = await whole.operate('POST', '/v1/volumes', input);
        expect([failed.state, failed.error?.code]).toEqual(['failed', 'storage_repository.full']);
        expect(readdirSync(join(disk.path, 'volumes'))).toEqual([]);
        expect(await leftOf(failed.id)).toEqual([]);
        expect((await whole.rest('GET', `/v1/volumes/${failed.target.id}`)).status).toBe(404);
      }

      disk.free();
      expect((await whole.operate('POST', '/v1/volumes', input)).state).toBe('succeeded');
      expect(readdirSync(join(disk.path, 'volumes'))).toHaveLength(1);
    },
    60_000,
  );
});
