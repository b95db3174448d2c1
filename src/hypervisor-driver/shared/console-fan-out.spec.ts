import { once } from 'node:events';
import { ConsoleFanOut } from './console-fan-out.js';

describe('a console with many readers', () => {
  it('gives each reader every byte from when it came', async () => {
    const line = new ConsoleFanOut((_bytes, done) => done());
    const early = line.open();
    line.feed(Buffer.from('one '));
    const late = line.open();
    line.feed(Buffer.from('two'));
    expect(String(early.read())).toBe('one two');
    expect(String(late.read())).toBe('two');
  });

  it('lets go of a reader that sleeps, with an error, while the others read on', async () => {
    const line = new ConsoleFanOut((_bytes, done) => done(), undefined, 1000);
    const sleeper = line.open();
    const reader = line.open();
    let read = 0;
    reader.on('data', (bytes: Buffer) => (read += bytes.length));
    const failed = once(sleeper, 'error');
    for (let sent = 0; sent < 5000; sent += 100) {
      line.feed(Buffer.alloc(100));
      await new Promise(setImmediate);
    }
    expect(String(await failed)).toMatch(/too slow/);
    expect(read).toBe(5000);
    expect(line.size).toBe(1);
  });

  it('holds its writers back while the guest does not read, and loses nothing', async () => {
    const taken: string[] = [];
    let goOn: () => void = () => undefined;
    const line = new ConsoleFanOut((bytes, done) => {
      taken.push(bytes.toString());
      goOn = done;
    });
    const writer = line.open();
    writer.write('a');
    writer.write('b');
    await new Promise(setImmediate);
    expect(taken).toEqual(['a']);
    goOn();
    await new Promise(setImmediate);
    expect(taken).toEqual(['a', 'b']);
  });

  it('says when the last reader has left, however it left', async () => {
    let empty = 0;
    const line = new ConsoleFanOut(
      (_bytes, done) => done(),
      () => void empty++,
    );
    const [one, other] = [line.open(), line.open()];
    const gone = Promise.all([once(one, 'close'), once(other, 'close')]);
    one.destroy();
    other.resume();
    other.end();
    await gone;
    expect(empty).toBe(1);
    expect(line.size).toBe(0);
  });

  it('ends every reader after the last byte when the line is gone', async () => {
    const line = new ConsoleFanOut((_bytes, done) => done());
    const reader = line.open();
    line.feed(Buffer.from('farewell'));
    line.end();
    const read: string[] = [];
    for await (const bytes of reader) read.push(String(bytes));
    expect(read.join('')).toBe('farewell');
  });
});
