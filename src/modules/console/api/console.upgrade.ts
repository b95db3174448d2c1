import { Inject, Injectable, type OnModuleInit } from '@nestjs/common';
import { type IncomingMessage } from 'node:http';
import { type Duplex } from 'node:stream';
import { type Logger } from 'pino';
import { WebSocketServer } from 'ws';
import { traceIdOf } from '../../../api/caller.js';
import { reportFailure, toProblemError } from '../../../api/failure.js';
import { isSameOrigin, Upgrades } from '../../../api/upgrades.js';
import { invalidToken, requestInvalid, requestMalformed } from '../../../kernel/errors/problems.js';
import { LOG } from '../../../kernel/logging/log.token.js';
import { consoleOriginRefused } from '../console.errors.js';
import { consoleProtocol } from '../console.schema.js';
import { LiveSessions } from '../live-sessions.js';
import { MOST_MESSAGE_BYTES } from '../relay.js';
import { offeredToken, offers } from '../session-token.js';

const ID = '[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}';
const PATH = new RegExp(`^/v1/consoles/(${ID})/sessions/(${ID})$`);

/**
 * `GET /v1/consoles/{id}/sessions/{id}` as a WebSocket. The token of the session is the only key; the caller's own is
 * not asked for, since a browser cannot send it here. Neither ever stands in the address, which gets logged.
 */
@Injectable()
export class ConsoleUpgrade implements OnModuleInit {
  private readonly sockets = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    perMessageDeflate: false,
    maxPayload: MOST_MESSAGE_BYTES,
    // Never the token: what is chosen is sent back.
    handleProtocols: () => consoleProtocol,
  });

  constructor(
    private readonly upgrades: Upgrades,
    private readonly sessions: LiveSessions,
    @Inject(LOG) private readonly log: Logger,
  ) {}

  onModuleInit(): void {
    this.upgrades.markHandshakes(this.sockets);
    this.upgrades.serve(PATH, (request, socket, head) => void this.upgrade(request, socket, head));
  }

  private async upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    const traceId = traceIdOf(request);
    try {
      const session = await this.authorise(request);
      // Before the handshake: whoever is connected gets every byte from then on.
      const line = await this.sessions.open(session);
      let served = false;
      const abandoned = (): void => void (served || this.sessions.abandon(session, line));
      if (socket.destroyed) return abandoned();
      socket.once('close', abandoned);
      this.sockets.handleUpgrade(request, socket, head, (client) => {
        served = true;
        this.sessions.serve(client, session, line);
      });
    } catch (error) {
      const problem = toProblemError(error);
      reportFailure(this.log, problem, { traceId, method: 'GET', path: '/v1/consoles/:id/sessions/:id' });
      this.upgrades.refuse(socket, problem, traceId);
    }
  }

  private async authorise(request: IncomingMessage) {
    const [, consoleId, sessionId] = PATH.exec(request.url ?? '') ?? [];
    // What goes on in the address gets logged on the way: a token there is refused before it is looked at.
    if (!consoleId || !sessionId) throw requestInvalid('A console session takes no query parameter.');
    if (!isSameOrigin(request)) throw consoleOriginRefused('The Origin of the page is not this server.');
    const offered = request.headers['sec-websocket-protocol'];
    if (!offers(offered).includes(consoleProtocol))
      throw requestMalformed(`Offer the subprotocol ${consoleProtocol}.`);
    const token = offeredToken(offered);
    const session = token === null ? null : await this.sessions.claim(consoleId, sessionId, token);
    if (!session) throw invalidToken('Offer the token of this session as token.<token>: once, and in time.');
    return session;
  }
}
