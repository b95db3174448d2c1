import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { runTool } from '../image/run.js';

/** Two pairs for one lab: the hosts' own, so that a caller knows whom it reached, and the caller's. */
export interface Keys {
  /** A file, 0600. */
  readonly keyFile: string;
  readonly publicKey: string;
  readonly hostKey: string;
  readonly hostPublicKey: string;
}

/** Those in the folder, made if they are not there. */
export async function keysIn(folder: string): Promise<Keys> {
  for (const name of ['key', 'host-key'])
    if (!existsSync(join(folder, `${name}.pub`)))
      await runTool('ssh-keygen', [
        '-q',
        '-t',
        'ed25519',
        '-N',
        '',
        '-C',
        'domus-lab',
        '-f',
        join(folder, name),
      ]);
  const read = (name: string) => readFileSync(join(folder, name), 'utf8');
  return {
    keyFile: join(folder, 'key'),
    publicKey: read('key.pub'),
    hostKey: read('host-key'),
    hostPublicKey: read('host-key.pub'),
  };
}
