import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { type Server, type Socket, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { QmpClient, QmpRefusal, QmpUnavailable } from './client.js';
import { LineReader } from './line-reader.js';
import { parseQmpLine } from './message.js';

/** What QEMU 7.2 really said, line by line, to the commands in the spec below. */
const session = readFileSync(new URL('./__fixtures__/qemu-7.2-session.jsonl', import.meta.url), 'utf8');

describe('a recorded session', () => {
  it('is understood whole', () => {
    const kinds = session
      .trim()
      .split('\n')
      .map((line) => parseQmpLine(line)?.kind ?? 'unknown');
    expect(kinds.filter((kind) => kind === 'unknown')).toEqual([]);
    expect(kinds.filter((kind) => kind === 'error')).toHaveLength(3);
    expect(parseQmpLine(session.split('\n')[0] ?? '')).toEqual({ kind: 'greeting', version: '7.2.22' });
  });

  it.each(['', 'nonsense', '[]', 'null', '7', '{"new":"kind"}', '{"event":5}', '{"error":"odd"}'])(
    'holds no surprise in %p: what is no message is passed over',
    (line) => {
      expect(parseQmpLine(line)).toBeNull();
    },
  );
});

describe('LineReader', () => {
  it('gives the same lines however the bytes are cut', () => {
    const bytes = Buffer.from('{"a":"ü"}\r\n\n{"b":1}\n{"c"');
    for (let size = 1; size <= bytes.length; size++) {
      const reader = new LineReader(100);
      const lines: string[] = [];
      for (let at = 0; at < bytes.length; at += size)
        lines.push(...reader.push(bytes.subarray(at, at + size)));
      expect(lines).toEqual(['{"a":"ü"}', '{"b":1}']);
    }
  });

  it('refuses a line without end before it fills the memory', () => {
    const reader = new LineReader(1000);
    expect(() => {
      for (let sent = 0; sent < 20; sent++) reader.push(Buffer.alloc(100, 'x'));
    }).toThrow(/longer than 1000/);
  });
});

describe('QmpClient', () => {
  let folder: string;
  let path: string;
  let server: Server;
  let peers: Socket[];
  /** How the pretended QEMU answers a command; null says nothing. */
  let answer: (command: string, id: number, peer: Socket) => string | null;
  let greeting: string;

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'domus-qmp-'));
    path = join(folder, 'qmp');
    greeting = `${session.split('\n')[0]}\r\n`;
    answer = (_command, id) => JSON.stringify({ return: {}, id });
    peers = [];
    server = createServer((peer) => {
      peers.push(peer);
      peer.on('error', () => undefined);
      peer.write(greeting);
      const lines = new LineReader(1 << 20);
      peer.on('data', (bytes) => {
        for (const line of lines.push(bytes)) {
          const { execute, id } = JSON.parse(line) as { execute: string; id: number };
          const text = answer(execute, id, peer);
          if (text !== null) peer.write(`${text}\r\n`);
        }
      });
    });
    await new Promise<void>((resolve) => server.listen(path, resolve));
  });
  afterEach(async () => {
    for (const peer of peers) peer.destroy();
    await new Promise((resolve) => server.close(resolve));
    await rm(folder, { recursive: true });
  });

  it('matches overlapping answers by id, whatever their order', async () => {
    const held: string[] = [];
    answer = (command, id, peer) => {
      const text = JSON.stringify({ return: { of: command }, id });
      if (command === 'qmp_capabilities') return text;
      held.unshift(text);
      if (held.length === 3) peer.write(`${held.join('\r\n')}\r\n`);
      return null;
    };
    const qmp = await QmpClient.connect(path, {}, 1000);
    const all = ['one', 'two', 'three'];
    expect(await Promise.all(all.map((command) => qmp.execute(command)))).toEqual(all.map((of) => ({ of })));
    qmp.close();
  });

  it('tells a refusal from silence', async () => {
    answer = (command, id) => {
      if (command === 'qmp_capabilities') return JSON.stringify({ return: {}, id });
      if (command === 'silent') return null;
      return JSON.stringify({ id, error: { class: 'GenericError', desc: 'not now' } });
    };
    const qmp = await QmpClient.connect(path, {}, 1000);
    await expect(qmp.execute('refused')).rejects.toMatchObject({
      errorClass: 'GenericError',
      detail: 'not now',
    });
    await expect(qmp.execute('refused')).rejects.toBeInstanceOf(QmpRefusal);
    await expect(qmp.execute('silent', {}, 20)).rejects.toBeInstanceOf(QmpUnavailable);
    qmp.close();
  });

  it('passes events on, and drops what it does not know', async () => {
    const events: string[] = [];
    answer = (command, id) =>
      [
        'garbage',
        '{"unheard":"of"}',
        '{"event":"STOP","timestamp":{"seconds":1,"microseconds":2}}',
        '{"return":{},"id":4711}',
        JSON.stringify({ return: {}, id }),
      ].join('\r\n');
    const qmp = await QmpClient.connect(path, { onEvent: (name) => void events.push(name) }, 1000);
    await qmp.execute('stop');
    expect(events).toEqual(['STOP', 'STOP']);
    qmp.close();
  });

  it('rejects what is under way when the connection ends, and says once that it ended', async () => {
    let ended = 0;
    answer = (command, id, peer) => {
      if (command === 'qmp_capabilities') return JSON.stringify({ return: {}, id });
      peer.destroy();
      return null;
    };
    const qmp = await QmpClient.connect(path, { onClose: () => void ended++ }, 1000);
    await expect(qmp.execute('anything')).rejects.toBeInstanceOf(QmpUnavailable);
    await expect(qmp.execute('more')).rejects.toBeInstanceOf(QmpUnavailable);
    expect(ended).toBe(1);
    expect(qmp.isOpen).toBe(false);
  });

  it('gives up on a QEMU that serves somebody else and never greets', async () => {
    greeting = '';
    await expect(QmpClient.connect(path, {}, 30)).rejects.toBeInstanceOf(QmpUnavailable);
  });

  it('rejects with the socket’s own error where nobody listens', async () => {
    await expect(QmpClient.connect(join(folder, 'none'), {}, 1000)).rejects.toMatchObject({ code: 'ENOENT' });
  });
});
