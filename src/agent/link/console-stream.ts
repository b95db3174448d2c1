import { type Duplex, Writable } from 'node:stream';
import { pipeline } from 'node:stream';
import { createWebSocketStream, type WebSocket } from 'ws';
import { heartbeatMs, silenceMs } from '../../agent-contract/index.js';
import { type Logger } from '../../kernel/logging/logger.js';
import { keepAlive } from '../../kernel/websocket/keep-alive.js';

/** Joins a console's line and a connection, with back-pressure both ways. Whichever ends first ends the other. */
export function serveConsole(socket: WebSocket, line: Duplex, mode: 'drive' | 'watch', log: Logger): void {
  keepAlive(socket, { pingMs: heartbeatMs, silenceMs: silenceMs + heartbeatMs });
  const peer = createWebSocketStream(socket);
  const end = (error?: Error | null) => {
    if (error) log.debug({ err: error }, 'a console connection ended');
    line.destroy();
    peer.destroy();
  };
  // What a watcher types is read and dropped: left unread it would stop its pongs as well.
  const towardsLine = mode === 'drive' ? line : new Writable({ write: (_chunk, _encoding, done) => done() });
  pipeline(line, peer, end);
  pipeline(peer, towardsLine, end);
}
