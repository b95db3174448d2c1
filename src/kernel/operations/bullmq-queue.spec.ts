import { createServer, type Server, type Socket } from 'node:net';
import { pino } from 'pino';
import { postgresQueue } from './bullmq-queue.js';
import { quietPool } from './quiet-pool.js';

const message = (type: string, body: Buffer): Buffer => {
  const head = Buffer.alloc(5);
  head.write(type);
  head.writeUInt32BE(body.length + 4, 1);
  return Buffer.concat([head, body]);
};
const authenticated = message('R', Buffer.alloc(4));
const ready = message('Z', Buffer.from('I'));
const lastWords = message(
  'E',
  Buffer.from('SFATAL\0VFATAL\0C57P01\0Mterminating connection due to unexpected postmaster exit\0\0'),
);

/**
 * A PostgreSQL whose postmaster is killed just as it says that it is ready: both come in one piece, so that its last words meet a
 * connection that nobody has asked anything yet.
 */
class Dying {
  callers = 0;
  private readonly sockets = new Set<Socket>();
  private readonly server: Server = createServer((socket) => {
    this.sockets.add(socket);
    socket.on('error', () => undefined);
    socket.once('data', () => {
      this.callers += 1;
      socket.end(Buffer.concat([authenticated, ready, lastWords]));
    });
  });

  async listen(): Promise<string> {
    await new Promise<void>((resolve) => this.server.listen(0, '127.0.0.1', resolve));
    const { port } = this.server.address() as { port: number };
    return `postgres://nobody@127.0.0.1:${port}/none`;
  }

  async close(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    await new Promise((resolve) => this.server.close(resolve));
  }
}

let dying: Dying;
let url: string;
beforeEach(async () => {
  dying = new Dying();
  url = await dying.listen();
});
afterEach(() => dying.close());

const log = pino({ level: 'silent' });

it('a database that dies as its queue is made ready fails that publication, and nothing else', async () => {
  const queue = postgresQueue(url, log);
  const publication = { jobId: '1', operationId: '1', priority: 0 };
  await expect(queue.publish([publication])).rejects.toThrow();
  // Made ready anew each time, until it is there.
  await expect(queue.publish([publication])).rejects.toThrow();
  expect(dying.callers).toBe(2);
  await queue.close();
});

it('a database that dies under a connection that was just lent fails what is asked of it, and nothing else', async () => {
  const pool = quietPool(url, 'bullmq', 1);
  const client = await pool.connect();
  await expect(client.query('select 1')).rejects.toThrow();
  client.release(true);
  await pool.end();
});
