import { createHash } from 'node:crypto';
import { realpath } from 'node:fs/promises';
import { createServer } from 'node:net';
import { AgentError } from './agent.js';

/**
 * Keeps a second agent off the same folder (a unit of systemd and a person, say): two would write one journal, and answer for
 * the same guests. A name in the kernel's own table of sockets, which goes with this process however that dies. Rejects with
 * an `AgentError` while another one holds it. The returned function lets go.
 */
export async function holdFolder(folder: string): Promise<() => Promise<void>> {
  const place = await realpath(folder);
  const name = `\0domus-agent-${createHash('sha256').update(place).digest('hex').slice(0, 32)}`;
  const server = createServer((socket) => socket.destroy());
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) =>
      reject(
        error.code === 'EADDRINUSE' ? new AgentError(`Another agent works in ${place} already.`) : error,
      ),
    );
    server.listen(name, () => resolve());
  });
  server.unref();
  return () => new Promise<void>((resolve) => server.close(() => resolve()));
}
