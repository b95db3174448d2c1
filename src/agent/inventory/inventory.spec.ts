import { jest } from '@jest/globals';
import { type StateFrame } from '../../agent-contract/index.js';
import { createFakeDriver } from '../../hypervisor-driver/fake/index.js';
import { type HypervisorDriver } from '../../hypervisor-driver/driver.js';
import { Inventory } from './inventory.js';
import { simulatedMachine } from './machine.js';

const hostId = '01890000-0000-7000-8000-000000000001';
const guest = (id: string) => ({ id, generation: 1, state: 'running' as const, pid: null, reason: null });

describe('a state stream', () => {
  let inventory: Inventory;
  let stop: () => void = () => undefined;
  let driver: HypervisorDriver;
  let tell: Parameters<HypervisorDriver['onChange']>[0] = () => undefined;
  const frames: StateFrame[] = [];
  let arrived: () => void = () => undefined;
  const until = async (holds: () => boolean): Promise<void> => {
    while (!holds()) await new Promise<void>((resolve) => (arrived = resolve));
  };
  const begin = (list: HypervisorDriver['list']): void => {
    driver = createFakeDriver();
    driver.list = list;
    driver.onChange = (listener) => {
      tell = listener;
      return () => undefined;
    };
    inventory = new Inventory({
      driver,
      backends: {},
      machine: () => Promise.resolve(simulatedMachine('boot')),
      heartbeatMs: 60_000,
      resyncMs: 20,
    });
    const send = (frame: StateFrame) => {
      frames.push(frame);
      arrived();
    };
    stop = inventory.stream({ hostId, hostEpoch: () => 1 }, send, (error) => {
      throw error;
    });
  };
  afterEach(() => {
    stop();
    inventory.close();
    jest.useRealTimers();
    frames.length = 0;
  });
  const snapshots = () => frames.filter(({ kind }) => kind === 'snapshot');

  it('says all of it again and again, without a gap in its numbers', async () => {
    begin(() => Promise.resolve([]));
    await until(() => snapshots().length >= 3);
    tell({ ...guest('a'), since: new Date().toISOString() });
    await until(() => frames.some(({ kind }) => kind === 'delta'));
    await until(() => frames.at(-1)?.kind === 'snapshot');
    expect(frames.map(({ seq }) => seq)).toEqual(frames.map((_, at) => at));
  });

  it('says after it what changed while it was made, and goes on when it cannot be made once', async () => {
    jest.useFakeTimers({ advanceTimers: true });
    let asked = 0;
    const { promise: listed, resolve: goOn } = Promise.withResolvers<void>();
    begin(async () => {
      asked += 1;
      if (asked === 2) throw new Error('planned by the test');
      if (asked === 3) {
        arrived();
        tell({ ...guest('b'), since: new Date().toISOString() });
        await listed;
      }
      return [];
    });
    await until(() => snapshots().length === 1);
    await until(() => asked === 3);
    // The moment comes in which it would tell of the change by itself.
    await jest.advanceTimersByTimeAsync(60);
    goOn();
    await until(() => frames.some(({ domains }) => domains.some(({ id }) => id === 'b')));
    const kinds = frames.map(({ kind, domains }) => (domains.length > 0 ? 'told' : kind));
    expect(kinds.indexOf('told')).toBeGreaterThan(1);
    expect(kinds.slice(0, kinds.indexOf('told'))).toEqual(expect.arrayContaining(['snapshot', 'snapshot']));
    expect(frames.map(({ seq }) => seq)).toEqual(frames.map((_, at) => at));
  });
});
