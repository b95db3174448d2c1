import { createServer } from 'node:net';
import pg from 'pg';
import { isDatabaseUnavailable } from './unavailable.js';

const refusal = (code: string): Error => Object.assign(new Error('as PostgreSQL says it'), { code });

it.each([
  ['08006', 'the connection broke'],
  ['57P01', 'it is shutting down'],
  ['57P02', 'it crashed'],
  ['57P03', 'it is starting'],
  ['53100', 'its disk is full'],
  ['53200', 'it has no memory'],
  ['53300', 'it has no session left'],
  ['58030', 'its disk fails'],
])('a database that says %s (%s) is away: the same may be asked again later', (code) => {
  expect(isDatabaseUnavailable(refusal(code))).toBe(true);
});

it.each(['23505', '40P01', '42601', '53400', '57014'])('a statement that fails with %s was wrong', (code) => {
  expect(isDatabaseUnavailable(refusal(code))).toBe(false);
});

it.each([
  ['a connection of its own', (config: pg.ClientConfig) => new pg.Client(config).connect()],
  ['a pool', (config: pg.PoolConfig) => new pg.Pool(config).query('select 1')],
])('a database that takes the call and says nothing is away, for %s too', async (_, ask) => {
  // It reads, so that it hears of a caller who has left.
  const mute = createServer((socket) => socket.on('error', () => undefined).resume());
  await new Promise<void>((resolve) => mute.listen(0, '127.0.0.1', resolve));
  const { port } = mute.address() as { port: number };
  const error: unknown = await ask({ host: '127.0.0.1', port, connectionTimeoutMillis: 50 }).catch(
    (refused: unknown) => refused,
  );
  await new Promise((resolve) => mute.close(resolve));
  expect(isDatabaseUnavailable(error)).toBe(true);
});
