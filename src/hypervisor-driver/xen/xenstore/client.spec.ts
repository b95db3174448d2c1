import { connect, createServer, type Server, type Socket } from 'node:net';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { XenstoreClient, XenstoreUnavailable } from './client.js';
import { decodeWords, encodePacket, encodeWords, PacketReader, packetType } from './packet.js';

/** A xenstored as small as can be: a tree of values, and watches that fire once when they are registered. */
class SmallXenstored {
  readonly values = new Map<string, string>();
  readonly connections = new Set<Socket>();
  readonly watches = new Map<string, { path: string; socket: Socket }>();
  private readonly server: Server;

  constructor(readonly path: string) {
    this.server = createServer((socket) => this.serve(socket));
  }
  listen = () => new Promise<void>((resolve) => this.server.listen(this.path, resolve));
  close = async () => {
    this.breakAll();
    await new Promise((resolve) => this.server.close(resolve));
  };
  breakAll = () => this.connections.forEach((socket) => socket.destroy());
  fire(path: string): void {
    for (const [token, watch] of this.watches)
      if (watch.path === path)
        watch.socket.write(
          encodePacket({ type: packetType.watchEvent, requestId: 0, payload: encodeWords(path, token) }),
        );
  }

  private serve(socket: Socket): void {
    this.connections.add(socket);
    socket.on('error', () => undefined);
    socket.on('close', () => {
      this.connections.delete(socket);
      for (const [token, watch] of this.watches) if (watch.socket === socket) this.watches.delete(token);
    });
    const reader = new PacketReader();
    socket.on('data', (bytes: Buffer) => {
      for (const { type, requestId, payload } of reader.push(bytes)) {
        const [path = '', token = ''] = decodeWords(payload);
        const answer = (text: Buffer, as = type) =>
          socket.write(encodePacket({ type: as, requestId, payload: text }));
        const value = this.values.get(path);
        if (type === packetType.watch) {
          this.watches.set(token, { path, socket });
          answer(encodeWords('OK'));
          this.fire(path);
        } else if (type === packetType.unwatch) {
          this.watches.delete(token);
          answer(encodeWords('OK'));
        } else if (type === packetType.write) {
          const at = payload.indexOf(0);
          this.values.set(payload.toString('utf8', 0, at), payload.toString('utf8', at + 1));
          answer(encodeWords('OK'));
        } else if (path === '/silent') {
          // Never answered.
        } else if (path === '/forbidden') answer(encodeWords('EACCES'), packetType.error);
        else if (value === undefined) answer(encodeWords('ENOENT'), packetType.error);
        else answer(Buffer.from(value));
      }
    });
  }
}

describe('the connection to xenstored', () => {
  let folder: string;
  let server: SmallXenstored;
  let client: XenstoreClient;
  const faults: unknown[] = [];

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'domus-xenstore-'));
    server = new SmallXenstored(join(folder, 'socket'));
    await server.listen();
    faults.length = 0;
    client = new XenstoreClient(
      () =>
        new Promise((resolve, reject) => {
          const socket = connect(server.path, () => resolve(socket)).once('error', reject);
        }),
      (error) => faults.push(error),
    );
    await client.connect();
  });
  afterEach(async () => {
    client.close();
    await server.close();
    await rm(folder, { recursive: true });
    expect(faults).toEqual([]);
  });

  /** The next firing of a watch on the path; the first comes with the registration. */
  const firings = (path: string) => {
    const waiting: (() => void)[] = [];
    let early = 0;
    const stop = client.watch(path, () => {
      const next = waiting.shift();
      if (next) next();
      else early++;
    });
    const next = () =>
      new Promise<void>((resolve) => {
        if (early > 0) {
          early--;
          resolve();
        } else waiting.push(resolve);
      });
    return { next, stop };
  };

  it('reads and writes values as they are, and says null where there is nothing', async () => {
    await client.write('/a', 'ünd "more"');
    expect(await client.read('/a')).toBe('ünd "more"');
    await client.write('/a', '');
    expect(await client.read('/a')).toBe('');
    expect(await client.read('/b')).toBeNull();
  });

  it('names the path and the reason of a refusal', async () => {
    await expect(client.read('/forbidden')).rejects.toThrow('/forbidden: EACCES');
  });

  it('refuses what xenstored would break the connection for', async () => {
    await expect(client.write('/a', 'x'.repeat(5000))).rejects.toThrow('4096');
    await expect(client.write('/a\0b', '')).rejects.toThrow('NUL');
  });

  it('tells every change of what is watched, until the watch ends', async () => {
    const { next, stop } = firings('@releaseDomain');
    await next();
    const second = next();
    server.fire('@releaseDomain');
    await second;
    stop();
    await client.read('/a'); // in order: the end of the watch has been heard
    expect(server.watches.size).toBe(0);
  });

  it('fires every watch again after a broken connection, so that nothing is missed', async () => {
    const { next } = firings('@releaseDomain');
    await next();
    const again = next();
    const asked = client.read('/silent');
    server.breakAll();
    await expect(asked).rejects.toThrow(XenstoreUnavailable);
    await again;
    await client.write('/a', '1');
    expect(await client.read('/a')).toBe('1');
  });
});

describe("xenstored's packets", () => {
  it('are found again however the bytes are cut', () => {
    const packets = [
      { type: packetType.read, requestId: 7, payload: encodeWords('/local/domain') },
      { type: packetType.watchEvent, requestId: 0, payload: encodeWords('@releaseDomain', 'w1') },
      { type: packetType.read, requestId: 8, payload: Buffer.alloc(0) },
    ];
    const bytes = Buffer.concat(packets.map(encodePacket));
    for (let size = 1; size <= bytes.length; size++) {
      const reader = new PacketReader();
      const read = [];
      for (let at = 0; at < bytes.length; at += size)
        read.push(...reader.push(bytes.subarray(at, at + size)));
      expect(read).toEqual(packets);
    }
  });

  it('of an impossible length are not waited for', () => {
    const bytes = Buffer.alloc(16);
    bytes.writeUInt32LE(5000, 12);
    expect(() => new PacketReader().push(bytes)).toThrow('5000');
  });
});
