import { appendFileSync, closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { type JournalEntry, parseJournal } from '../../src/agent/journal/entry.js';
import { type AgentEntry } from './history.js';

const PIECE = 1 << 20;

/**
 * Reads what an agent writes into its journal before the journal forgets it: a file that has grown is written anew with what
 * still counts, so it must be looked at now and then. A file that was replaced is read to its end first.
 */
export class FollowedJournal {
  private file: number | undefined;
  private offset = 0;
  private rest: Buffer = Buffer.alloc(0);
  private readonly seen = new Set<string>();
  /** Whether the newest begin under a key has its end. */
  private readonly ended = new Map<string, boolean>();
  readonly entries: AgentEntry[] = [];

  /** `copy`: where each line is kept as it was read. */
  constructor(
    private readonly hostId: string,
    private readonly path: string,
    private readonly copy?: string,
  ) {}

  look(): void {
    this.file ??= this.open();
    if (this.file === undefined) return;
    this.read();
    const now = this.open();
    if (now === undefined) return;
    if (fstatSync(now).ino === fstatSync(this.file).ino) {
      closeSync(now);
      return;
    }
    // It was replaced: what came into the old one between the last look and now stands there alone.
    this.read();
    closeSync(this.file);
    this.file = now;
    this.offset = 0;
    this.rest = Buffer.alloc(0);
    this.read();
  }

  close(): void {
    if (this.file !== undefined) closeSync(this.file);
    this.file = undefined;
  }

  private open(): number | undefined {
    try {
      return openSync(this.path, 'r');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw error;
    }
  }

  /** Whole lines only: a torn one is cut off by the agent and written again at its place. */
  private read(): void {
    if (this.file === undefined) return;
    const piece = Buffer.alloc(PIECE);
    for (;;) {
      const count = readSync(this.file, piece, 0, PIECE, this.offset + this.rest.length);
      if (count === 0) return;
      this.rest = Buffer.concat([this.rest, piece.subarray(0, count)]);
      const { entries, validBytes } = parseJournal(this.rest);
      for (const entry of entries) this.take(entry);
      this.offset += validBytes;
      // What is torn now may be whole at the next look: it is read again.
      this.rest = count === PIECE ? this.rest.subarray(validBytes) : Buffer.alloc(0);
      if (count < PIECE) return;
    }
  }

  /** A file that was written anew repeats what the old one said. */
  private take(entry: JournalEntry): void {
    if (entry.kind === 'begin') {
      const { kind, at, key, call, operationId, step, attempt, hostEpoch, domain, overtakes = [] } = entry;
      const name = `${key} ${attempt} ${at}`;
      if (this.seen.has(name)) return;
      this.seen.add(name);
      this.ended.set(key, false);
      const hostId = this.hostId;
      this.keep({ kind, at, hostId, key, call, operationId, step, attempt, hostEpoch, domain, overtakes });
    }
    if (entry.kind === 'end' && this.ended.get(entry.key) !== true) {
      const { kind, at, key, outcome } = entry;
      this.ended.set(key, true);
      const refused = outcome.kind === 'problem' ? outcome.problem.code : null;
      this.keep({ kind, at, hostId: this.hostId, key, refused });
    }
  }

  private keep(entry: AgentEntry): void {
    this.entries.push(entry);
    if (this.copy !== undefined) appendFileSync(this.copy, `${JSON.stringify(entry)}\n`);
  }
}
