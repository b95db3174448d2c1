import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { journalUnavailable } from '../../agent-contract/index.js';
import { type Fencing } from '../fencing.js';
import { type BeginEntry, formatEntry, type JournalEntry, type Outcome, parseJournal } from './entry.js';
import { LogFile, syncFolder } from './log-file.js';

interface Remembered {
  begin: BeginEntry;
  /** Null: begun, and nobody knows how it ended. */
  outcome: Outcome | null;
}

const DAY = 86_400_000;
/** What the server never released goes after this long; by then no runner is left that could ask for it. */
const KEEP_ENTRIES_MS = 7 * DAY;
const KEEP_ATTEMPTS_MS = 7 * DAY;
const KEEP_GENERATIONS_MS = 90 * DAY;
const COMPACT_ABOVE_BYTES = 1024 * 1024;

/**
 * What this host was asked to do and what came of it. A `begin` is on disk before anything is done; what is in the
 * journal without an end is done again in its idempotent form when the server asks again, and never by itself.
 */
export class Journal {
  private readonly remembered = new Map<string, Remembered>();
  private compactAt = COMPACT_ABOVE_BYTES;
  private keptAtCompaction = 0;

  private constructor(
    private readonly file: LogFile,
    private readonly fencing: Fencing,
    private readonly now: () => number,
  ) {}

  /** Reads the journal in `folder`, tells `fencing` the numbers in it, and goes on where the last whole line ends. */
  static async open(
    folder: string,
    fencing: Fencing,
    now: () => number = Date.now,
    openFile: (path: string, validBytes: number) => Promise<LogFile> = LogFile.open,
  ): Promise<Journal> {
    const path = join(folder, 'journal');
    const { entries, validBytes } = parseJournal(await readFile(path).catch(emptyIfAbsent));
    const journal = new Journal(await openFile(path, validBytes), fencing, now);
    for (const entry of entries) journal.replay(entry);
    await syncFolder(folder);
    return journal;
  }

  find(key: string): Remembered | undefined {
    return this.remembered.get(key);
  }

  /** Resolves when the line is safe on disk. `host.journal_unavailable` when it cannot be: then nothing may be done. */
  async begin(entry: Omit<BeginEntry, 'kind' | 'at'>): Promise<void> {
    const before = this.remembered.get(entry.key);
    const begin: BeginEntry = { kind: 'begin', at: this.now(), ...entry };
    this.remembered.set(entry.key, { begin, outcome: null });
    this.fencing.note(begin, begin.at);
    try {
      await this.file.append(formatEntry(begin), true);
    } catch (cause) {
      if (before) this.remembered.set(entry.key, before);
      else this.remembered.delete(entry.key);
      throw journalUnavailable('The journal cannot be written, so nothing was done.', { cause });
    }
  }

  /** Does not wait for the disk: an end that a loss of power takes away only makes a duplicate run its idempotent form. */
  async end(key: string, outcome: Outcome): Promise<void> {
    const entry = this.remembered.get(key);
    if (entry) entry.outcome = outcome;
    await this.file.append(formatEntry({ kind: 'end', at: this.now(), key, outcome }), false);
    if (this.file.bytes > this.compactAt) await this.compact();
  }

  /** Forgets what the server has recorded, and makes the file small again when it has grown. */
  async release(operationIds: readonly string[]): Promise<void> {
    const released = new Set(operationIds);
    for (const [key, { begin, outcome }] of this.remembered)
      if (outcome && released.has(begin.operationId)) this.remembered.delete(key);
    await this.file.append(
      formatEntry({ kind: 'release', at: this.now(), operationIds: [...operationIds] }),
      false,
    );
    const halved = this.remembered.size <= this.keptAtCompaction / 2;
    if (this.file.bytes > (halved ? COMPACT_ABOVE_BYTES : this.compactAt)) await this.compact();
  }

  /** Rewrites the file with what still counts. */
  async compact(): Promise<void> {
    this.compactAt = Number.POSITIVE_INFINITY; // one at a time
    const done = this.file.rewrite(() => {
      const at = this.now();
      for (const [key, { begin }] of this.remembered)
        if (begin.at < at - KEEP_ENTRIES_MS) this.remembered.delete(key);
      this.keptAtCompaction = this.remembered.size;
      const oldest = { attempt: at - KEEP_ATTEMPTS_MS, generation: at - KEEP_GENERATIONS_MS };
      const lines = [formatEntry(this.fencing.marks(at, oldest))];
      for (const [key, { begin, outcome }] of this.remembered) {
        lines.push(formatEntry(begin));
        if (outcome) lines.push(formatEntry({ kind: 'end', at, key, outcome }));
      }
      return lines;
    });
    await done.finally(() => (this.compactAt = Math.max(COMPACT_ABOVE_BYTES, this.file.bytes * 2)));
  }

  close(): Promise<void> {
    return this.file.close();
  }

  private replay(entry: JournalEntry): void {
    switch (entry.kind) {
      case 'begin':
        this.remembered.set(entry.key, { begin: entry, outcome: null });
        this.fencing.note(entry, entry.at);
        for (const { operationId, attempt } of entry.overtakes ?? [])
          this.fencing.noteAttempt(operationId, attempt, entry.at);
        return;
      case 'end': {
        const begun = this.remembered.get(entry.key);
        if (begun) begun.outcome = entry.outcome;
        return;
      }
      case 'release': {
        const released = new Set(entry.operationIds);
        for (const [key, { begin, outcome }] of this.remembered)
          if (outcome && released.has(begin.operationId)) this.remembered.delete(key);
        return;
      }
      case 'marks':
        this.fencing.restore(entry);
    }
  }
}

function emptyIfAbsent(error: NodeJS.ErrnoException): Buffer {
  if (error.code === 'ENOENT') return Buffer.alloc(0);
  throw error;
}
