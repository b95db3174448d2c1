import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { FaultProxy } from './fault-proxy.js';
import { SeededRandom } from './seeded-random.js';

/** A server that answers every byte with itself, and a client that comes to it through the proxy. */
let echo: Server;
let proxy: FaultProxy;
const clients: Socket[] = [];
/** However it ends: `once` would take a reset for a failure of the test. */
const closing = (socket: Socket) => new Promise((resolve) => socket.once('close', resolve));

beforeEach(async () => {
  echo = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.pipe(socket);
  }).listen(0, '127.0.0.1');
  await once(echo, 'listening');
  const { port } = echo.address() as { port: number };
  proxy = await FaultProxy.open({ host: '127.0.0.1', port }, new SeededRandom(7).next);
});
afterEach(async () => {
  for (const client of clients.splice(0)) client.destroy();
  await proxy.close();
  echo.close();
});

async function client(): Promise<{
  socket: Socket;
  heard: () => string;
  says: (text: string) => Promise<void>;
}> {
  const socket = connect(proxy.port, '127.0.0.1');
  clients.push(socket);
  socket.on('error', () => undefined);
  let text = '';
  socket.on('data', (bytes) => (text += bytes.toString()));
  await once(socket, 'connect');
  return {
    socket,
    heard: () => text,
    says: async (wanted) => {
      while (!text.includes(wanted)) await once(socket, 'data');
    },
  };
}

it('lets everything through, in both directions, and an end as an end', async () => {
  const { socket, says, heard } = await client();
  const long = 'x'.repeat(3 << 20);
  socket.write(long);
  socket.end('!');
  await Promise.all([says('!'), once(socket, 'end')]);
  expect(heard()).toBe(`${long}!`);
});

it('holds back what goes into a blackhole, one way, and delivers it in order once it is over', async () => {
  const { socket, says, heard } = await client();
  socket.write('a');
  await says('a');
  proxy.poison([{ kind: 'blackhole', only: 'down' }]);
  socket.write('b');
  const other = await client();
  other.socket.write('z');
  socket.write('c');
  await new Promise((resolve) => setImmediate(resolve));
  expect(heard()).toBe('a');
  proxy.poison([]);
  await Promise.all([says('abc'), other.says('z')]);
});

it('delays and slices without loss or disorder', async () => {
  const { socket, says } = await client();
  proxy.poison([
    { kind: 'latency', ms: 30, jitterMs: 30 },
    { kind: 'slicer', bytes: 3, ms: 1 },
  ]);
  const began = performance.now();
  const text = Array.from({ length: 40 }, (_, at) => String(at)).join(',');
  socket.write(text.slice(0, 50));
  socket.write(text.slice(50));
  await says(text);
  expect(performance.now() - began).toBeGreaterThanOrEqual(60);
});

it('resets every connection at once, and refuses new ones as long as it is told to', async () => {
  const { socket } = await client();
  const closed = closing(socket);
  proxy.reset({ refusing: true });
  await closed;
  const refused = connect(proxy.port, '127.0.0.1').on('error', () => undefined);
  await closing(refused);
  expect(proxy.open).toBe(0);
  proxy.reset({ refusing: false });
  const { socket: again, says } = await client();
  again.write('back');
  await says('back');
});

it('ends a connection after so many bytes', async () => {
  proxy.poison([{ kind: 'limit', bytes: 4, only: 'down' }]);
  const { socket, heard } = await client();
  socket.write('123456');
  await closing(socket);
  expect(heard()).toBe('1234');
});
