import { isAlive, identify } from '../../src/launcher/process/process-table.js';
import { openConsole } from '../support/console-client.js';
import { DomusCommand } from '../support/domus-command.js';
import { eventually } from '../support/eventually.js';
import { httpFaces, type HttpFaces } from '../support/http-faces.js';

/**
 * A real guest that counts its seconds aloud, and `kill -9` of everything around it while an operation on another guest is
 * under way. The first must not miss a second; of the other one, the word that the operation ends with must be true.
 */
const BOOT_MS = 90_000;
const domus = new DomusCommand();
let faces: HttpFaces;
let counter: string;
let other: string;

interface Domain {
  readonly id: string;
  readonly state: string;
  readonly pid: number | null;
  readonly poolId: string;
  readonly boot: { readonly commandLine: string };
  readonly consoles: readonly { readonly id: string }[];
}

const domain = async (id: string): Promise<Domain> => {
  const { status, body, text } = await faces.rest('GET', `/v1/domains/${id}`);
  if (status !== 200) throw new Error(`The domain could not be read: ${text}`);
  return body as Domain;
};

/** Every second that the guest has counted, by its console's log. Empty while its host cannot be asked. */
async function ticks(id: string): Promise<number[]> {
  const [serial] = (await domain(id)).consoles;
  const { status, text } = await faces.rest('GET', `/v1/consoles/${serial?.id ?? ''}/log?tail=10000`);
  return status === 200 ? [...text.matchAll(/tick (\d+)\r?\n/g)].map(([, tick]) => Number(tick)) : [];
}

const hasCounted = (id: string, least: number, within: number): Promise<number[]> =>
  eventually(
    async () => {
      const counted = await ticks(id);
      return counted.length >= least && counted;
    },
    { within, what: `${least} seconds of the guest` },
  );

/** Server, agent and PostgreSQL as they run now. */
async function connect(): Promise<void> {
  faces = httpFaces((await domus.status()).url ?? '', domus.token);
}

beforeAll(async () => {
  await domus.lendBootKit();
  await domus.up('--demo');
  await connect();
  const { items } = (await faces.rest('GET', '/v1/domains')).body as { items: Domain[] };
  const [demo] = items;
  if (!demo) throw new Error('There is no demo.');
  other = demo.id;
  const { target, error } = await faces.operate('POST', '/v1/domains', {
    name: 'counter',
    poolId: demo.poolId,
    memoryBytes: 128 * 1024 * 1024,
    boot: { ...demo.boot, commandLine: `${demo.boot.commandLine} ticker` },
  });
  expect(error).toBeNull();
  counter = target.id;
  expect(await faces.operate('POST', `/v1/domains/${counter}/start`)).toMatchObject({ state: 'succeeded' });
  await hasCounted(counter, 3, BOOT_MS);
}, 400_000);
afterAll(() => domus.remove(), 120_000);

/** What each operation leaves when it ends with this word. */
const truth: Record<string, Record<string, string>> = {
  start: { succeeded: 'running', failed: 'halted' },
  'force-off': { succeeded: 'halted', failed: 'running' },
};

it.each<[string, readonly ('server' | 'agent' | 'postgres')[]]>([
  ['the server', ['server']],
  ['the agent', ['agent']],
  ['PostgreSQL', ['postgres']],
  ['all three at once', ['server', 'agent', 'postgres']],
])(
  'kill -9 of %s with an operation under way: the guest misses no second, and the operation ends with a true word',
  async (_, parts) => {
    const verb = (await domain(other)).state === 'halted' ? 'start' : 'force-off';
    const before = await domain(counter);
    const guest = identify(before.pid ?? 0);
    if (!guest) throw new Error('The guest has no process.');
    const counted = (await ticks(counter)).length;
    const pids = await Promise.all(parts.map((name) => domus.pidOf(name)));

    const accepted = await faces.rest('POST', `/v1/domains/${other}/${verb}`);
    for (const pid of pids) process.kill(pid, 'SIGKILL');
    expect(accepted.status).toBe(202);

    await domus.up();
    await connect();
    const operation = await faces.ended((accepted.body as { id: string }).id, 90_000);
    const expected = truth[verb]?.[operation.state];
    expect([operation.state, expected]).toEqual([operation.state, expect.any(String)]);
    await eventually(async () => (await domain(other)).state === expected, {
      within: 20_000,
      what: `that the other domain is ${expected}, as ${verb} ${operation.state}`,
    });

    await eventually(async () => (await domain(counter)).state === 'running', { within: 20_000 });
    const after = await domain(counter);
    expect(after.pid).toBe(before.pid);
    expect(isAlive(guest)).toBe(true);
    const seconds = await hasCounted(counter, counted + 2, 20_000);
    expect(seconds).toEqual(Array.from(seconds, (__, at) => at + 1));
  },
  240_000,
);

it('the consoles of both guests answer after all that', async () => {
  if ((await domain(other)).state === 'halted')
    expect(await faces.operate('POST', `/v1/domains/${other}/start`)).toMatchObject({ state: 'succeeded' });
  for (const id of [counter, other]) {
    const console = await openConsole(faces, id);
    // The guest may still boot: it is asked until it answers.
    await eventually(
      async () => {
        console.type('echo an""swer\n');
        return console.says('\nanswer', 1_500).catch(() => false);
      },
      { within: BOOT_MS, what: 'an answer of the guest' },
    );
    await console.close();
  }
}, 200_000);

it('a guest that powers itself off ends its console and its domain', async () => {
  const console = await openConsole(faces, other);
  console.type('poweroff\n');
  expect(await console.closed).toEqual({ code: 4000, reason: 'the guest has ended' });
  await eventually(async () => (await domain(other)).state === 'halted', { within: 5_000 });
}, 90_000);
