import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';

const NONCE = 12;
const TAG = 16;

/** Reads the 32 bytes that seal the CA keys. */
export async function readSecretKey(path: string): Promise<Buffer> {
  const key = await readFile(path);
  if (key.length !== 32) throw new Error('DOMUS_SECRET_KEY_FILE must hold exactly 32 bytes.');
  return key;
}

/** AES-256-GCM, bound to its owner: a sealed key that is moved to another pool's row does not open. Nonce ‖ tag ‖ text. */
export function seal(secretKey: Buffer, owner: string, plain: Buffer): Buffer {
  const nonce = randomBytes(NONCE);
  const cipher = createCipheriv('aes-256-gcm', secretKey, nonce);
  cipher.setAAD(Buffer.from(owner));
  const text = Buffer.concat([cipher.update(plain), cipher.final()]);
  return Buffer.concat([nonce, cipher.getAuthTag(), text]);
}

export function unseal(secretKey: Buffer, owner: string, sealed: Buffer): Buffer {
  const decipher = createDecipheriv('aes-256-gcm', secretKey, sealed.subarray(0, NONCE));
  decipher.setAAD(Buffer.from(owner));
  decipher.setAuthTag(sealed.subarray(NONCE, NONCE + TAG));
  try {
    return Buffer.concat([decipher.update(sealed.subarray(NONCE + TAG)), decipher.final()]);
  } catch (cause) {
    throw new Error('The key of a certificate authority was sealed with another secret key file.', { cause });
  }
}
