import { Injectable } from '@nestjs/common';
import { createHash, randomBytes } from 'node:crypto';
import { link, open, readFile, rm } from 'node:fs/promises';
import { isNativeError } from 'node:util/types';
import { DataSource } from 'typeorm';
import { Reader } from '../../kernel/database/reader.js';
import { newId } from '../../kernel/schema/values.js';

interface Identity {
  readonly actor: string;
  readonly role: string;
}

/** A revoked token is refused after this long at the latest. */
const CACHED_MS = 10_000;
const MOST_CACHED = 1_000;
/** 256 bits, in the letters of base64url. */
const TOKEN = /^[A-Za-z0-9_-]{32,256}$/;

const hashOf = (token: string): Buffer => createHash('sha256').update(token).digest();

/** Bearer tokens. Of a token only its hash is kept, in the database and in memory. */
@Injectable()
export class TokenService {
  private readonly cache = new Map<string, { identity: Identity; until: number }>();

  constructor(
    private readonly reader: Reader,
    private readonly source: DataSource,
  ) {}

  /** Null: nobody's, or revoked. Rejects with `database.unavailable`. */
  async identify(token: string): Promise<Identity | null> {
    const hash = hashOf(token).toString('hex');
    const cached = this.cache.get(hash);
    const now = performance.now();
    if (cached && cached.until > now) return cached.identity;
    const [row] = await this.reader.run({
      text: `select name, role from api_token where secret_hash = decode($1::text, 'hex') and revoked_at is null`,
      values: [hash],
    });
    if (!row) {
      this.cache.delete(hash);
      return null;
    }
    const identity = { actor: `token:${String(row[0])}`, role: String(row[1]) };
    if (this.cache.size >= MOST_CACHED) this.cache.clear();
    this.cache.set(hash, { identity, until: now + CACHED_MS });
    return identity;
  }

  /**
   * Makes the token in the file an administrator's, and makes the file (0600) if there is none. Called at every start;
   * a token that stood in the file before stays valid until it is revoked.
   */
  async ensureAdminToken(file: string): Promise<void> {
    const token = (await readOrMake(file)).trim();
    if (!TOKEN.test(token))
      throw new Error(`${file} does not hold a token of 32 or more letters of base64url.`);
    await this.source.query(
      `insert into api_token (id, name, role, secret_hash) values ($1, 'admin', 'pool-admin', $2)
       on conflict (secret_hash) do update set revoked_at = null`,
      [newId(), hashOf(token)],
    );
  }
}

const codeOf = (error: unknown): unknown => (isNativeError(error) ? Reflect.get(error, 'code') : null);

async function readOrMake(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error;
  }
  // Linked into place when it is whole: of several replicas that start, each reads the first one's.
  const draft = `${file}.${randomBytes(6).toString('hex')}`;
  const handle = await open(draft, 'wx', 0o600);
  try {
    await handle.writeFile(`${randomBytes(32).toString('base64url')}\n`);
    await handle.sync();
    await link(draft, file);
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') throw error;
  } finally {
    await handle.close();
    await rm(draft, { force: true });
  }
  return readFile(file, 'utf8');
}
