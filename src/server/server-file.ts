import { randomBytes } from 'node:crypto';
import { mkdir, open, rename } from 'node:fs/promises';
import { join } from 'node:path';

/** What the server says about itself once it is ready: DIR/run/server.json. The launcher and `status` read it. */
export interface ServerFile {
  readonly pid: number;
  readonly url?: string;
  readonly metricsUrl: string;
  readonly enrolUrl?: string;
}

/** Readers find the whole of it or the one before. */
export async function writeServerFile(dataDir: string, content: ServerFile): Promise<void> {
  const folder = join(dataDir, 'run');
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const draft = join(folder, `server.json.${randomBytes(6).toString('hex')}`);
  const handle = await open(draft, 'wx', 0o600);
  try {
    await handle.writeFile(`${JSON.stringify(content)}\n`);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(draft, join(folder, 'server.json'));
}
