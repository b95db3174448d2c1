import { crc32 } from 'node:zlib';
import { z } from 'zod';
import { problem } from '../../kernel/errors/problem.js';

const domainNumber = z.object({ id: z.string(), generation: z.int() });
const executorNumber = z.object({ repositoryId: z.string(), generation: z.int() });

const outcome = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('result'), result: z.unknown() }),
  z.object({ kind: z.literal('problem'), problem }),
]);

/** One line of the journal. Times are milliseconds since 1970. */
export const journalEntry = z.discriminatedUnion('kind', [
  /** On disk before anything is done. */
  z.object({
    kind: z.literal('begin'),
    at: z.int(),
    /** Names the effect: the same call of the same step of the same operation has the same key. */
    key: z.string(),
    call: z.string(),
    operationId: z.string(),
    step: z.string(),
    attempt: z.int(),
    hostEpoch: z.int(),
    domain: domainNumber.nullable(),
    executor: executorNumber.optional(),
    /** Of other operations: what the fence said was overtaken. */
    overtakes: z.array(z.object({ operationId: z.string(), attempt: z.int() })).optional(),
  }),
  /** The answer, so that a duplicate gets it too. */
  z.object({ kind: z.literal('end'), at: z.int(), key: z.string(), outcome }),
  /** The server has recorded all of these operations: their entries may go. */
  z.object({ kind: z.literal('release'), at: z.int(), operationIds: z.array(z.string()) }),
  /** The highest numbers seen, for what compaction drops. Stands first in a compacted file. */
  z.object({
    kind: z.literal('marks'),
    at: z.int(),
    hostEpoch: z.int(),
    attempts: z.array(z.object({ operationId: z.string(), attempt: z.int(), at: z.int() })),
    domains: z.array(
      domainNumber.extend({
        at: z.int(),
        /** The last force-off: no other operation starts the domain at this generation or below. */
        forcedOff: z.object({ generation: z.int(), operationId: z.string() }).nullable(),
      }),
    ),
    executors: z.array(executorNumber.extend({ at: z.int() })).optional(),
  }),
]);

export type JournalEntry = z.output<typeof journalEntry>;
export type BeginEntry = Extract<JournalEntry, { kind: 'begin' }>;
export type MarksEntry = Extract<JournalEntry, { kind: 'marks' }>;
export type Outcome = z.output<typeof outcome>;

/** `<crc32 of the rest, 8 hex digits> <JSON>\n` */
export function formatEntry(entry: JournalEntry): string {
  const json = JSON.stringify(entry);
  return `${crc32(json).toString(16).padStart(8, '0')} ${json}\n`;
}

/**
 * Reads a journal as a crash may have left it: whole lines up to the first that is torn or damaged. `validBytes` is
 * where the next line belongs; what stands behind it was never answered for, and is to be cut off.
 */
export function parseJournal(bytes: Buffer): { entries: JournalEntry[]; validBytes: number } {
  const entries: JournalEntry[] = [];
  let start = 0;
  for (;;) {
    const end = bytes.indexOf(0x0a, start);
    if (end < 0) return { entries, validBytes: start };
    const entry = parseLine(bytes.toString('utf8', start, end));
    if (!entry) return { entries, validBytes: start };
    entries.push(entry);
    start = end + 1;
  }
}

function parseLine(line: string): JournalEntry | null {
  const json = line.slice(9);
  if (line[8] !== ' ' || crc32(json).toString(16).padStart(8, '0') !== line.slice(0, 8)) return null;
  try {
    return journalEntry.parse(JSON.parse(json));
  } catch {
    return null;
  }
}
