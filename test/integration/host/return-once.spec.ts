import { pino } from 'pino';
import { armFailpoints } from '../../../src/kernel/failpoint.js';
import { systemCaller } from '../../../src/kernel/operations/caller.js';
import { OperationEngine } from '../../../src/kernel/operations/engine.js';
import { type MaintenanceServices } from '../../../src/modules/maintenance/operations/services.js';
import { returnHost } from '../../../src/modules/maintenance/operations/index.js';
import { newId } from '../../../src/kernel/schema/values.js';
import { eventually } from '../../support/eventually.js';
import { type Body, type TestHost, type TestPool, testPool } from '../../support/test-pool.js';

let pool: TestPool;
let host: TestHost;
beforeEach(async () => {
  pool = await testPool();
  host = pool.hosts[0]!;
  await host.stopAgent();
  const word = { name: host.name, reason: 'no light in the rack' };
  await pool.operate('POST', `/v1/hosts/${host.id}/declare-dead`, word);
}, 60_000);
afterEach(() => {
  armFailpoints(undefined);
  return pool?.close();
});

const returns = async (): Promise<Body[]> =>
  pool.source.query(`select id, state from operation where kind = 'host.return' order by created_at`);
const online = () =>
  eventually(
    async () =>
      (await pool.source.query(`select 1 from host where state = 'online' and fenced_at is null`)).length > 0,
    { within: 30_000, what: 'the host back' },
  );
/** As another replica would, that saw the agent when it was still behind, and is slow to say so. */
const returnAgain = async () => {
  const queue = {
    publish: async () => undefined,
    consume: async () => undefined,
    renew: async () => undefined,
    close: async () => undefined,
  };
  const log = pino({ level: 'silent' });
  const { source: dataSource, databaseUrl } = pool;
  const engine = new OperationEngine({
    dataSource,
    databaseUrl,
    queue,
    log,
    processId: newId(),
    runs: false,
  });
  engine.register(returnHost, {} as MaintenanceServices);
  return engine.accept(returnHost, { hostId: host.id }, systemCaller(newId()));
};
const untilItsEnd = () =>
  eventually(async () => (await returns()).every(({ state }) => state === 'succeeded'), {
    within: 20_000,
    what: 'the end of the return',
  });

it('a host that was declared dead is let back in once, however late a replica hears that it was behind', async () => {
  // Its first word with the new epoch is on its way for as long as this stands.
  await pool.source.query(`
    create function not_yet() returns trigger language plpgsql as $$ begin raise 'not yet'; end $$;
    create trigger not_yet before update on host for each row
      when (old.fenced_at is not null and new.fenced_at is null) execute function not_yet();`);
  await host.startAgent();
  await eventually(async () => (await returns()).length > 0, { within: 20_000, what: 'the return' });
  await untilItsEnd();
  expect(await pool.source.query(`select 1 from host where fenced_at is not null`)).toHaveLength(1);
  await expect(returnAgain()).rejects.toMatchObject({ code: 'host.not_dead' });
  await pool.source.query(`drop trigger not_yet on host`);
  await online();
  await expect(returnAgain()).rejects.toMatchObject({ code: 'host.not_dead' });
  expect(await returns()).toMatchObject([{ state: 'succeeded' }]);
}, 60_000);

it('a return that ended before the host had its new epoch is followed by another', async () => {
  const standing = Promise.withResolvers<void>();
  const cancelled = Promise.withResolvers<void>();
  armFailpoints(async (name, { step }) => {
    if (name !== 'step.before-act' || step !== 'take-epoch') return 'pass';
    standing.resolve();
    await cancelled.promise;
    return 'pass';
  });
  await host.startAgent();
  await standing.promise;
  const [first] = await returns();
  const answer = await pool.rest('POST', `/v1/operations/${first.id}/cancel`, {});
  expect(answer.status).toBeLessThan(300);
  await eventually(async () => (await returns())[0].state === 'cancelled', { what: 'the cancel' });
  cancelled.resolve();
  await online();
  expect(await returns()).toMatchObject([{ state: 'cancelled' }, { state: 'succeeded' }]);
}, 60_000);
