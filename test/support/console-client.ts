import { once } from 'node:events';
import { WebSocket } from 'ws';
import { eventually } from './eventually.js';
import { type HttpFaces } from './http-faces.js';

/** A client at a domain's serial line, as a terminal in a browser is one. */
export interface ConsoleClient {
  /** Everything that came so far. */
  readonly seen: () => string;
  readonly type: (text: string) => void;
  /** Waits until the guest has said it. */
  readonly says: (what: string, within?: number) => Promise<true>;
  readonly closed: Promise<{ code: number; reason: string }>;
  readonly close: () => Promise<void>;
}

export async function openConsole(
  faces: HttpFaces,
  domainId: string,
  mode: 'drive' | 'watch' = 'drive',
): Promise<ConsoleClient> {
  const domain = await faces.rest('GET', `/v1/domains/${domainId}`);
  const [serial] = (domain.body as { consoles: { id: string }[] }).consoles;
  const made = await faces.rest('POST', `/v1/consoles/${serial?.id ?? ''}/sessions`, { mode });
  if (made.status !== 201) throw new Error(`No console session: ${made.text}`);
  const session = made.body as { url: string; token: string; protocols: string[] };
  const socket = new WebSocket(session.url, [...session.protocols, `token.${session.token}`]);
  let text = '';
  socket.on('message', (data: Buffer) => (text += data.toString('utf8')));
  const closed = new Promise<{ code: number; reason: string }>((resolve) => {
    socket.on('close', (code, reason) => resolve({ code, reason: reason.toString() }));
  });
  await once(socket, 'open');
  return {
    seen: () => text,
    type: (typed) => socket.send(Buffer.from(typed)),
    says: (what, within = 10_000) =>
      eventually(async () => text.includes(what), {
        within,
        what: `that the console says ${JSON.stringify(what)}`,
      }),
    closed,
    close: async () => {
      socket.close();
      await closed;
    },
  };
}
