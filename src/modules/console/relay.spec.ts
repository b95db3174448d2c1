import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { type AddressInfo } from 'node:net';
import { Duplex } from 'node:stream';
import { WebSocket, WebSocketServer } from 'ws';
import { CLIENT_HIGH_WATER, MOST_MESSAGE_BYTES, relay, type RelayResult } from './relay.js';

/** A console line: gives what `feed` pushes, and takes what is written as fast as `accept` lets it. */
class FakeLine extends Duplex {
  readonly written: Buffer[] = [];
  accepts = true;
  produced = 0;
  /** Makes bytes for as long as somebody reads. */
  endless = false;
  private waiting: (() => void) | null = null;

  override _read(): void {
    if (!this.endless) return;
    const chunk = Buffer.alloc(16 * 1024, 0x41);
    this.produced += chunk.length;
    setImmediate(() => this.push(chunk));
  }
  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.written.push(chunk);
    if (this.accepts) done();
    else this.waiting = done;
  }
  accept(): void {
    this.accepts = true;
    this.waiting?.();
    this.waiting = null;
  }
  get bytes(): Buffer {
    return Buffer.concat(this.written);
  }
}

async function until(what: () => boolean, deadlineMs = 5_000): Promise<void> {
  const end = Date.now() + deadlineMs;
  while (!what()) {
    if (Date.now() > end) throw new Error('It did not come about in time.');
    await new Promise((resolve) => setImmediate(resolve));
  }
}

describe('the relay between a client and a console', () => {
  let http: Server;
  let sockets: WebSocketServer;
  let client: WebSocket;
  let served: WebSocket;
  let line: FakeLine;

  beforeEach(async () => {
    http = createServer();
    sockets = new WebSocketServer({ server: http, perMessageDeflate: false, maxPayload: MOST_MESSAGE_BYTES });
    http.listen(0, '127.0.0.1');
    await once(http, 'listening');
    const connected = once(sockets, 'connection');
    client = new WebSocket(`ws://127.0.0.1:${(http.address() as AddressInfo).port}`);
    client.on('error', () => undefined);
    [served] = (await connected) as [WebSocket];
    served.on('error', () => undefined);
    if (client.readyState !== WebSocket.OPEN) await once(client, 'open');
    line = new FakeLine({ highWaterMark: 16 * 1024 });
  });

  afterEach(async () => {
    client.terminate();
    served.terminate();
    await new Promise((resolve) => http.close(resolve));
  });

  it('carries bytes both ways, unchanged, as binary frames', async () => {
    const seen: Buffer[] = [];
    client.on('message', (data: Buffer, isBinary) => {
      expect(isBinary).toBe(true);
      seen.push(data);
    });
    const done = relay(served, line, 'drive');
    line.push(Buffer.from([0, 255, 13, 10]));
    line.push(Buffer.from('# '));
    client.send(Buffer.from([3, 0, 200]));
    await until(() => Buffer.concat(seen).length === 6 && line.bytes.length === 3);
    expect([...Buffer.concat(seen)]).toEqual([0, 255, 13, 10, 0x23, 0x20]);
    expect([...line.bytes]).toEqual([3, 0, 200]);
    client.close(1000);
    expect(await done).toMatchObject({ end: { by: 'client' }, toClient: 6, toGuest: 3 });
  });

  it('never holds more than a bounded number of bytes for a client that does not read', async () => {
    line.endless = true;
    client.pause();
    const done = relay(served, line, 'drive');
    // What the kernel takes is not held by the server: it fills up first.
    await until(() => line.isPaused(), 20_000);
    const produced = line.produced;
    let most = 0;
    for (let turn = 0; turn < 500; turn += 1) {
      most = Math.max(most, served.bufferedAmount + line.readableLength);
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(most).toBeLessThanOrEqual(CLIENT_HIGH_WATER + 3 * 16 * 1024 + 1024);
    expect(line.produced - produced).toBeLessThanOrEqual(2 * 16 * 1024);

    let got = 0;
    client.on('message', (data: Buffer) => (got += data.length));
    client.resume();
    await until(() => got > 2 * CLIENT_HIGH_WATER + produced, 20_000);
    line.endless = false;
    await until(() => got === line.produced, 20_000);
    client.terminate();
    expect(await done).toMatchObject({ end: { by: 'client' } });
  }, 60_000);

  it('never holds more than a bounded number of bytes for a line that does not take them', async () => {
    line.accepts = false;
    const done = relay(served, line, 'drive');
    const paste = Buffer.alloc(16 * 1024, 0x42);
    const pastes = 2_000;
    for (let sent = 0; sent < pastes; sent += 1) client.send(paste);
    await until(() => served.isPaused, 20_000);
    let most = 0;
    for (let turn = 0; turn < 500; turn += 1) {
      most = Math.max(most, line.writableLength);
      await new Promise((resolve) => setImmediate(resolve));
    }
    // What one read of the socket brought, and one message that was begun.
    expect(most).toBeLessThanOrEqual(64 * 1024 + 2 * MOST_MESSAGE_BYTES);
    line.accept();
    await until(() => line.bytes.length === pastes * paste.length, 20_000);
    client.terminate();
    await done;
  }, 60_000);

  it('drops what a watcher types, and shows it everything', async () => {
    const seen: Buffer[] = [];
    client.on('message', (data: Buffer) => seen.push(data));
    const done = relay(served, line, 'watch');
    client.send(Buffer.from('rm -rf /\n'));
    const pong = once(client, 'pong');
    client.ping();
    await pong;
    line.push(Buffer.from('login: '));
    await until(() => seen.length === 1);
    expect(line.written).toEqual([]);
    client.close();
    expect(await done).toMatchObject({ toClient: 7, toGuest: 0 });
  });

  it('leaves the client open when the line ends, with everything before the end delivered', async () => {
    const seen: Buffer[] = [];
    client.on('message', (data: Buffer) => seen.push(data));
    const done = relay(served, line, 'drive');
    line.push(Buffer.from('reboot: Power down'));
    line.push(null);
    expect(await done).toMatchObject({ end: { by: 'line', error: null }, toClient: 18 });
    expect(line.destroyed).toBe(true);
    expect(served.readyState).toBe(WebSocket.OPEN);
    const closed = once(client, 'close');
    served.close(4000, 'the guest has ended');
    const [code, reason] = (await closed) as [number, Buffer];
    expect([code, String(reason)]).toEqual([4000, 'the guest has ended']);
    expect(Buffer.concat(seen).toString()).toBe('reboot: Power down');
  });

  it('tells a lost line from an ended one', async () => {
    const done = relay(served, line, 'drive');
    line.destroy(new Error('connection reset'));
    expect(await done).toMatchObject({ end: { by: 'line', error: { message: 'connection reset' } } });
  });

  it('ends the line when the client goes', async () => {
    const done = relay(served, line, 'drive');
    client.terminate();
    await done;
    expect(line.destroyed).toBe(true);
  });

  it('ends at once when the client went before the line was there', async () => {
    const gone = once(served, 'close');
    client.terminate();
    await gone;
    expect(await relay(served, line, 'drive')).toMatchObject({ end: { by: 'client' } });
    expect(line.destroyed).toBe(true);
  });

  it('ends at once when the line went before the client was there', async () => {
    line.on('error', () => undefined);
    const closed = new Promise((resolve) => line.on('close', resolve));
    line.destroy(new Error('connection reset'));
    await closed;
    expect(await relay(served, line, 'drive')).toMatchObject({ end: { by: 'line' } });
    expect(served.readyState).toBe(WebSocket.OPEN);
  });

  it('refuses text frames, which stay free for a later meaning', async () => {
    const done = relay(served, line, 'drive');
    const closed = once(client, 'close');
    client.send('ls\n');
    expect((await closed)[0]).toBe(1003);
    expect(await done).toMatchObject({ end: { by: 'client', farewell: { code: 1003 } }, toGuest: 0 });
    expect(line.written).toEqual([]);
  });

  it('cuts a client off that sends a message beyond the limit', async () => {
    const done: Promise<RelayResult> = relay(served, line, 'drive');
    const closed = once(client, 'close');
    client.send(Buffer.alloc(MOST_MESSAGE_BYTES + 1));
    expect((await closed)[0]).toBe(1009);
    await done;
    expect(line.written).toEqual([]);
  });
});
