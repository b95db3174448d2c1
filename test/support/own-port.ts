import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';

/** Where a port is marked as taken. Its twin on 127.0.0.1 is free for the program that the port is for. */
const MARK = '127.77.0.1';
const RANGES = '/proc/sys/net/ipv4/ip_local_port_range';
const MOST = 500;
/** What listens here by itself on somebody's machine lives mostly below. */
const LOWEST = 10_000;

/**
 * A port of 127.0.0.1 that is this process's until it ends, for a program that must find it free at each of its starts.
 * One that the kernel gave out and took back is not: the next connection of anybody here may leave from it, and a program
 * that is killed and started again then finds its port taken. So it lies where the kernel takes none from by itself.
 */
export async function ownPort(): Promise<number> {
  const [first, count] = outside(readFileSync(RANGES, 'utf8'));
  for (let tried = 0; tried < MOST; tried += 1) {
    const port = first + Math.floor(Math.random() * count);
    const mark = await listens(MARK, port);
    if (!mark) continue;
    const probe = await listens('127.0.0.1', port);
    if (probe) {
      await closed(probe);
      mark.unref();
      return port;
    }
    await closed(mark);
  }
  throw new Error(`No port of ${first}–${first + count - 1} is free.`);
}

/** The first and the count of the larger part that connections do not leave from. */
export function outside(range: string): readonly [first: number, count: number] {
  const [from = 0, to = 0] = range.trim().split(/\s+/).map(Number);
  const below = [LOWEST, from - LOWEST] as const;
  const above = [to + 1, 65_535 - to] as const;
  const [first, count] = below[1] >= above[1] ? below : above;
  if (!(count > 0))
    throw new Error(`Connections may leave from every port from ${LOWEST} on (${RANGES}: ${range.trim()}).`);
  return [first, count];
}

/** Nothing where the port is taken. */
function listens(host: string, port: number): Promise<Server | undefined> {
  const server = createServer((socket) => socket.destroy());
  return new Promise((resolve) => {
    server.once('listening', () => resolve(server)).once('error', () => resolve(undefined));
    server.listen({ host, port });
  });
}

async function closed(server: Server): Promise<void> {
  server.close();
  await once(server, 'close');
}
