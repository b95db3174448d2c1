import { randomBytes } from 'node:crypto';
import { chmodSync, linkSync, lstatSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { failed } from './launcher-error.js';

/**
 * Makes a folder that only its owner may enter, or takes one that is there. One that is a symbolic link or belongs to
 * somebody else is refused: in a folder that all may write, somebody may have laid it there to catch our sockets.
 */
export function ensurePrivateFolder(path: string, uid = process.getuid?.() ?? 0): string {
  mkdirSync(path, { recursive: true, mode: 0o700 });
  const found = lstatSync(path);
  if (!found.isDirectory()) throw failed(`${path} is not a folder.`);
  if (found.uid !== uid) throw failed(`${path} belongs to user ${found.uid}; run as that user.`);
  if ((found.mode & 0o777) !== 0o700) chmodSync(path, 0o700);
  return path;
}

/** Reads a secret, or makes it first. Whole or not at all, and only once, however many start at the same time. */
export function ensureSecretFile(path: string, make: () => string | Buffer): Buffer {
  const existing = readSecretFile(path);
  if (existing) return existing;
  const draft = `${path}.${randomBytes(6).toString('hex')}`;
  try {
    writeFileSync(draft, make(), { mode: 0o600, flag: 'wx', flush: true });
    try {
      linkSync(draft, path);
    } catch (error) {
      if (!hasCode(error, 'EEXIST')) throw error;
    }
  } finally {
    rmSync(draft, { force: true });
  }
  return readFileSync(path);
}

function readSecretFile(path: string): Buffer | undefined {
  try {
    const { mode } = lstatSync(path);
    if ((mode & 0o077) !== 0) chmodSync(path, 0o600);
    return readFileSync(path);
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined;
    throw error;
  }
}

/** Not `instanceof Error`: under jest, errors of Node's own modules are of another realm. */
export function hasCode(error: unknown, ...codes: string[]): boolean {
  return typeof error === 'object' && error !== null && 'code' in error && codes.includes(String(error.code));
}
