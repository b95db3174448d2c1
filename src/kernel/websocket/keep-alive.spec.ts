import { EventEmitter, once } from 'node:events';
import { type WebSocket } from 'ws';
import { keepAlive } from './keep-alive.js';

/** What `keepAlive` uses of a WebSocket. */
class FakeSocket extends EventEmitter {
  readonly OPEN = 1;
  readyState = 1;
  isPaused = false;
  pings = 0;
  answers = true;
  ping(): void {
    this.pings += 1;
    if (this.answers) this.emit('pong');
  }
  terminate(): void {
    this.readyState = 3;
    this.emit('close');
  }
}

/** A busy machine stands still for longer than a ping; what is not silence must not look like it. */
const times = { pingMs: 5, silenceMs: 400 };
const after = async (socket: FakeSocket, pings: number): Promise<void> => {
  const wanted = socket.pings + pings;
  while (socket.pings < wanted) await new Promise((resolve) => setTimeout(resolve, 1));
};
const kept = (): FakeSocket => {
  const socket = new FakeSocket();
  keepAlive(socket as EventEmitter as WebSocket, times);
  return socket;
};

describe('a connection that is kept alive', () => {
  it('goes on while the peer answers', async () => {
    const socket = kept();
    await after(socket, 20);
    expect(socket.readyState).toBe(1);
    socket.terminate();
  });

  it('ends when the peer has been silent for too long', async () => {
    const socket = kept();
    socket.answers = false;
    await once(socket, 'close');
    expect(socket.pings).toBeGreaterThan(1);
  });

  it('goes on while the peer is silent because it is not read', async () => {
    const socket = kept();
    socket.answers = false;
    socket.isPaused = true;
    await after(socket, 20);
    expect(socket.readyState).toBe(1);
    socket.isPaused = false;
    await once(socket, 'close');
  });
});
