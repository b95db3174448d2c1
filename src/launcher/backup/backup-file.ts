import { createHash, type Hash, randomBytes } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { open, rename, rm } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { pipeline } from 'node:stream/promises';
import { createGunzip, createGzip } from 'node:zlib';
import { z } from 'zod';
import { failed } from '../launcher-error.js';

/**
 * One gzip of lines, each a JSON array that begins with its kind. Rows are PostgreSQL's own JSON and are never parsed on
 * the way, so that no number loses a digit. The last line closes the file with the SHA-256 of all before it.
 */
const header = z.object({
  format: z.literal('domus-backup'),
  version: z.literal(1),
  at: z.string(),
  /** Names, in order: the shape that the rows have. */
  migrations: z.array(z.string()),
  /** Base64. Seals the pools' CA keys in the rows. */
  secretKey: z.string(),
});
export type BackupHeader = z.output<typeof header>;

const line = z.union([
  z.tuple([z.literal('backup'), header]),
  z.tuple([z.literal('table'), z.string(), z.array(z.string())]),
  z.tuple([z.literal('sequence'), z.string(), z.string()]),
  z.tuple([z.literal('end'), z.object({ rows: z.int(), sha256: z.string() })]),
]);

export type BackupPart =
  | { kind: 'backup'; header: BackupHeader }
  | { kind: 'table'; name: string; columns: string[] }
  /** One row of the table before it, as JSON text. */
  | { kind: 'row'; json: string }
  | { kind: 'sequence'; name: string; value: string };

const rowMark = '["row",';

/** Writes a backup aside and gives it its name when it is whole. Readable by its owner alone: it holds secrets. */
export async function writeBackup(path: string, parts: AsyncIterable<BackupPart>): Promise<{ rows: number }> {
  const draft = `${path}.${randomBytes(4).toString('hex')}.part`;
  const counted = { rows: 0 };
  try {
    await pipeline(
      (async function* () {
        const hash = createHash('sha256');
        for await (const part of parts) {
          if (part.kind === 'row') counted.rows++;
          yield hashed(hash, `${lineOf(part)}\n`);
        }
        yield `${JSON.stringify(['end', { rows: counted.rows, sha256: hash.digest('hex') }])}\n`;
      })(),
      createGzip(),
      createWriteStream(draft, { flags: 'wx', mode: 0o600, flush: true }),
    );
    await rename(draft, path);
    return counted;
  } finally {
    await rm(draft, { force: true });
  }
}

function hashed(hash: Hash, text: string): string {
  hash.update(text);
  return text;
}

function lineOf(part: BackupPart): string {
  switch (part.kind) {
    case 'backup':
      return JSON.stringify(['backup', part.header]);
    case 'table':
      return JSON.stringify(['table', part.name, part.columns]);
    case 'sequence':
      return JSON.stringify(['sequence', part.name, part.value]);
    case 'row':
      // Between the values of JSON a newline is mere space; inside them it is written as an escape.
      return `${rowMark}${part.json.replaceAll('\n', ' ')}]`;
  }
}

/** Reads the file to its end and holds it to its own checksum, before anything is changed because of it. */
export async function verifyBackup(path: string): Promise<BackupHeader> {
  let found: BackupHeader | undefined;
  for await (const part of readBackup(path)) if (part.kind === 'backup') found = part.header;
  if (!found) throw failed(`${path} is no backup of Domus.`);
  return found;
}

/** The parts in order. Throws where the file was cut off or changed; what was read until then is not to be trusted. */
export async function* readBackup(path: string): AsyncGenerator<BackupPart> {
  await mustBeReadable(path);
  const source = createReadStream(path);
  const unzipped = source.pipe(createGunzip());
  const broken = new Promise<never>((_, reject) => {
    source.once('error', reject);
    unzipped.once('error', reject);
  });
  broken.catch(() => undefined);
  const hash = createHash('sha256');
  let rows = 0;
  let closed = false;
  const lines = createInterface({ input: unzipped, crlfDelay: Infinity })[Symbol.asyncIterator]();
  for (;;) {
    const next = await Promise.race([lines.next(), broken]).catch((error: unknown) => {
      throw failed(`${path} is damaged, or no backup of Domus.`, { cause: error });
    });
    if (next.done) break;
    if (closed) throw failed(`${path} goes on after its end.`);
    if (next.value.startsWith(rowMark)) {
      rows++;
      hash.update(`${next.value}\n`);
      yield { kind: 'row', json: next.value.slice(rowMark.length, -1) };
      continue;
    }
    const parsed = parseLine(path, next.value);
    if (parsed[0] === 'end') {
      closed = true;
      if (parsed[1].sha256 !== hash.digest('hex') || parsed[1].rows !== rows) {
        throw failed(`${path} was changed after it was written: its checksum is wrong.`);
      }
      continue;
    }
    hash.update(`${next.value}\n`);
    if (parsed[0] === 'backup') yield { kind: 'backup', header: parsed[1] };
    else if (parsed[0] === 'table') yield { kind: 'table', name: parsed[1], columns: parsed[2] };
    else yield { kind: 'sequence', name: parsed[1], value: parsed[2] };
  }
  if (!closed) throw failed(`${path} was cut off: its end is missing.`);
}

async function mustBeReadable(path: string): Promise<void> {
  try {
    await (await open(path)).close();
  } catch (error) {
    throw failed(`${path} cannot be read.`, { cause: error });
  }
}

function parseLine(path: string, text: string): z.output<typeof line> {
  try {
    return line.parse(JSON.parse(text));
  } catch (error) {
    throw failed(`${path} is damaged, or was made by a newer Domus.`, { cause: error });
  }
}
