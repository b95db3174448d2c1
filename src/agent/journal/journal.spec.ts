import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { newId } from '../../kernel/schema/values.js';
import { Fencing } from '../fencing.js';
import { type BeginEntry, formatEntry, type JournalEntry, parseJournal } from './entry.js';
import { Journal } from './journal.js';
import { LogFile, type LogHandle } from './log-file.js';

const text = fc.string({ unit: 'binary', maxLength: 30 });
const entry: fc.Arbitrary<JournalEntry> = fc.oneof(
  fc.record({
    kind: fc.constant('begin' as const),
    at: fc.nat(),
    key: text,
    call: text,
    operationId: text,
    step: text,
    attempt: fc.nat(),
    hostEpoch: fc.nat(),
    domain: fc.option(fc.record({ id: text, generation: fc.nat() })),
  }),
  fc.record({
    kind: fc.constant('end' as const),
    at: fc.nat(),
    key: text,
    outcome: fc.record({ kind: fc.constant('result' as const), result: fc.dictionary(text, text) }),
  }),
  fc.record({
    kind: fc.constant('release' as const),
    at: fc.nat(),
    operationIds: fc.array(text, { maxLength: 3 }),
  }),
);
const plain = (value: unknown): unknown => JSON.parse(JSON.stringify(value));

describe('a journal file', () => {
  it('reads back as a prefix of what was written, wherever a crash cut it off', () => {
    fc.assert(
      fc.property(
        fc.array(entry, { maxLength: 8 }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (entries, part) => {
          const whole = Buffer.from(entries.map(formatEntry).join(''));
          const cut = whole.subarray(0, Math.round(whole.length * part));
          const read = parseJournal(cut);
          expect(plain(read.entries)).toEqual(plain(entries.slice(0, read.entries.length)));
          expect(read.validBytes).toBeLessThanOrEqual(cut.length);
          // Nothing whole is lost: what is left over is less than a line.
          expect(cut.subarray(read.validBytes).includes(0x0a)).toBe(false);
        },
      ),
    );
  });

  it('never yields an entry from a damaged line, nor anything behind it', () => {
    fc.assert(
      fc.property(
        fc.array(entry, { minLength: 1, maxLength: 5 }),
        fc.nat(),
        fc.integer({ min: 1, max: 255 }),
        (entries, at, flip) => {
          const bytes = Buffer.from(entries.map(formatEntry).join(''));
          const place = at % bytes.length;
          bytes[place] = (bytes[place] ?? 0) ^ flip;
          const read = parseJournal(bytes);
          expect(read.validBytes).toBeLessThanOrEqual(place + 1);
          expect(plain(read.entries)).toEqual(plain(entries.slice(0, read.entries.length)));
        },
      ),
    );
  });
});

describe('the journal', () => {
  let folder = '';
  beforeEach(async () => void (folder = await mkdtemp(join(tmpdir(), 'domus-journal-'))));
  afterEach(() => rm(folder, { recursive: true }));

  const begin = (over: Partial<BeginEntry> = {}): Omit<BeginEntry, 'kind' | 'at'> => ({
    key: newId(),
    call: 'domain.pause',
    operationId: newId(),
    step: 'one',
    attempt: 1,
    hostEpoch: 1,
    domain: null,
    ...over,
  });
  const reopen = async (fencing = new Fencing()) => ({
    journal: await Journal.open(folder, fencing),
    fencing,
  });

  it('remembers after a restart what was begun and what ended, and the highest numbers', async () => {
    const { journal } = await reopen();
    const [done, open] = [begin({ attempt: 3, domain: { id: 'd', generation: 7 } }), begin({ hostEpoch: 2 })];
    await journal.begin(done);
    await journal.end(done.key, { kind: 'result', result: { a: 1 } });
    await journal.begin(open);
    await journal.close();

    const again = await reopen();
    expect(again.journal.find(done.key)?.outcome).toEqual({ kind: 'result', result: { a: 1 } });
    expect(again.journal.find(open.key)).toMatchObject({ outcome: null });
    const late = { call: 'domain.pause', operationId: done.operationId, hostEpoch: 2 };
    expect(() => again.fencing.check({ ...late, attempt: 2, domain: null })).toThrow('call.fenced');
    expect(() => again.fencing.check({ ...late, attempt: 3, domain: { id: 'd', generation: 6 } })).toThrow(
      'call.fenced',
    );
    expect(() => again.fencing.check({ ...late, attempt: 3, hostEpoch: 1, domain: null })).toThrow(
      'call.fenced',
    );
    again.fencing.check({ ...late, attempt: 3, domain: { id: 'd', generation: 7 } });
    await again.journal.close();
  });

  it('goes on behind the last whole line when the last one is torn', async () => {
    const { journal } = await reopen();
    const first = begin();
    await journal.begin(first);
    await journal.close();
    const path = join(folder, 'journal');
    await writeFile(path, Buffer.concat([await readFile(path), Buffer.from('0badc0de {"kind":"be')]));

    const { journal: second } = await reopen();
    const next = begin();
    await second.begin(next);
    await second.close();
    const { journal: third } = await reopen();
    expect([first, next].map(({ key }) => third.find(key) !== undefined)).toEqual([true, true]);
    await third.close();
  });

  it('forgets what was released but not its numbers, and grows small again', async () => {
    const { journal } = await reopen();
    const kept = begin({ operationId: 'kept' });
    await journal.begin(kept);
    await journal.end(kept.key, { kind: 'result', result: {} });
    const released = begin({ operationId: 'gone', attempt: 5, domain: { id: 'd', generation: 9 } });
    await journal.begin(released);
    await journal.end(released.key, { kind: 'result', result: 'x'.repeat(2_000_000) });
    await journal.release(['gone']);
    await journal.close();
    expect((await readFile(join(folder, 'journal'))).length).toBeLessThan(10_000);

    const again = await reopen();
    expect(again.journal.find(released.key)).toBeUndefined();
    expect(again.journal.find(kept.key)?.outcome).toEqual({ kind: 'result', result: {} });
    const late = { call: 'domain.pause', hostEpoch: 1 };
    expect(() => again.fencing.check({ ...late, operationId: 'gone', attempt: 4, domain: null })).toThrow(
      'call.fenced',
    );
    expect(() =>
      again.fencing.check({ ...late, operationId: newId(), attempt: 1, domain: { id: 'd', generation: 8 } }),
    ).toThrow('call.fenced');
    await again.journal.close();
  });

  it('refuses new work on a full disk before anything is done, and takes it again when there is room', async () => {
    const real = await LogFile.open(join(folder, 'journal'), 0);
    await real.close();
    let full = false;
    const held: Buffer[] = [];
    const handle: LogHandle = diskOf(held, () => full);
    const journal = await Journal.open(folder, new Fencing(), Date.now, (path, size) =>
      Promise.resolve(new LogFile(path, handle, size)),
    );
    await journal.begin(begin());
    full = true;
    const refused = begin();
    await expect(journal.begin(refused)).rejects.toMatchObject({ code: 'host.journal_unavailable' });
    expect(journal.find(refused.key)).toBeUndefined();
    full = false;
    await journal.begin(begin());
    const { entries, validBytes } = parseJournal(Buffer.concat(held));
    expect(entries).toHaveLength(2);
    expect(validBytes).toBe(Buffer.concat(held).length);
  });

  it('leaves no half of a new file when it cannot be made small, and goes on in the old one', async () => {
    const path = join(folder, 'journal');
    const file = await LogFile.open(path, 0);
    await file.append('one\n', true);
    // Nothing can be renamed to where a folder stands.
    await rm(path);
    await mkdir(path);
    await expect(file.rewrite(() => ['two\n'])).rejects.toMatchObject({ code: 'EISDIR' });
    expect(await readdir(folder)).toEqual(['journal']);
    await file.append('three\n', true);
    expect(file.bytes).toBe('one\nthree\n'.length);
    await file.close();
  });

  it('takes many lines to the disk with few syncs', async () => {
    let syncs = 0;
    const held: Buffer[] = [];
    const disk = diskOf(held, () => false);
    const handle: LogHandle = { ...disk, datasync: () => (syncs++, Promise.resolve()) };
    const journal = await Journal.open(folder, new Fencing(), Date.now, (path, size) =>
      Promise.resolve(new LogFile(path, handle, size)),
    );
    await Promise.all(Array.from({ length: 100 }, () => journal.begin(begin())));
    expect(parseJournal(Buffer.concat(held)).entries).toHaveLength(100);
    expect(syncs).toBeLessThan(5);
  });
});

/** A disk in memory. When it is full, a write gets only its first half down before it fails. */
function diskOf(held: Buffer[], full: () => boolean): LogHandle {
  const flat = () => Buffer.concat(held);
  const write = (bytes: Buffer, from: number, length: number, at: number) => {
    const part = full() ? Math.floor(length / 2) : length;
    const after = Buffer.concat([flat().subarray(0, at), bytes.subarray(from, from + part)]);
    held.splice(0, held.length, after);
    return full()
      ? Promise.reject(Object.assign(new Error('no space left on device'), { code: 'ENOSPC' }))
      : Promise.resolve({ bytesWritten: part, buffer: bytes });
  };
  const truncate = (size?: number) => {
    held.splice(0, held.length, flat().subarray(0, size));
    return Promise.resolve();
  };
  return {
    write: write as LogHandle['write'],
    truncate,
    datasync: () => Promise.resolve(),
    close: () => Promise.resolve(),
  };
}
