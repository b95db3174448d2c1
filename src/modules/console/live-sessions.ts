import { type BeforeApplicationShutdown, Inject, Injectable } from '@nestjs/common';
import { Duplex } from 'node:stream';
import { DataSource } from 'typeorm';
import { type Logger } from 'pino';
import { type WebSocket } from 'ws';
import { awaitHalt, domainBadState, hostDomainNotFound } from '../../agent-contract/index.js';
import { HostLink } from '../../host-link/host-link.js';
import { isProblem } from '../../kernel/errors/problem.js';
import { LOG } from '../../kernel/logging/log.token.js';
import { keepAlive } from '../../kernel/websocket/keep-alive.js';
import { type ConnectedSession, connectSession, endSession } from './console.rows.js';
import { farewell, type Farewell } from './farewell.js';
import { relay } from './relay.js';
import { hashOf } from './session-token.js';

const KEEP_ALIVE = { pingMs: 20_000, silenceMs: 60_000 };
/** The line of a guest ends a moment before its host sees it halted. */
const HALT_SHOWS_MS = 2_000;
/** How long a stopping server waits for its clients to take their leave. */
const LEAVE_MS = 1_000;

/** The console connections of this replica, from the token to the last word. */
@Injectable()
export class LiveSessions implements BeforeApplicationShutdown {
  private readonly live = new Map<WebSocket, Promise<void>>();
  private stopping = false;

  constructor(
    private readonly source: DataSource,
    private readonly links: HostLink,
    @Inject(LOG) private readonly log: Logger,
  ) {}

  /** Uses the token up; null when it gives no right to this session (any more). */
  async claim(consoleId: string, sessionId: string, token: string): Promise<ConnectedSession | null> {
    const session = await connectSession(this.source.manager, {
      consoleId,
      id: sessionId,
      tokenHash: hashOf(token),
    });
    return session ?? null;
  }

  /** The line of the session's guest; or, if there is none, what to tell the client. Never rejects. */
  async open(session: ConnectedSession): Promise<Duplex | Farewell> {
    const { hostId, domainId, consoleId, mode, current } = session;
    if (!current) return farewell.guestEnded;
    try {
      const line = await this.links.openConsole(hostId, domainId, consoleId, mode);
      // Until the relay listens.
      line.on('error', () => undefined);
      return line;
    } catch (error) {
      return this.farewellFor(session, error);
    }
  }

  /** Serves a connection until it ends. */
  serve(client: WebSocket, session: ConnectedSession, line: Duplex | Farewell): void {
    client.on('error', (error) =>
      this.log.debug({ err: error, sessionId: session.id }, 'a console client erred'),
    );
    const served = this.run(client, session, line).finally(() => this.live.delete(client));
    this.live.set(client, served);
  }

  /** For a client that went before it could be served. */
  async abandon(session: ConnectedSession, line: Duplex | Farewell): Promise<void> {
    if (line instanceof Duplex) line.destroy();
    await this.writeEnd(session, farewell.byClient);
  }

  /** The HTTP server only ends when its upgraded connections have. */
  async beforeApplicationShutdown(): Promise<void> {
    this.stopping = true;
    const all = [...this.live];
    for (const [client] of all) leave(client, farewell.serverStops);
    const timer = setTimeout(() => all.forEach(([client]) => client.terminate()), LEAVE_MS);
    await Promise.all(all.map(([, served]) => served));
    clearTimeout(timer);
  }

  private async run(client: WebSocket, session: ConnectedSession, line: Duplex | Farewell): Promise<void> {
    const { id: sessionId, consoleId, domainId, hostId, mode, actor } = session;
    const log = this.log.child({ sessionId, consoleId, domainId, hostId });
    log.info({ mode, actor }, 'console session began');
    keepAlive(client, KEEP_ALIVE);
    const { last, ...counts } =
      line instanceof Duplex
        ? await this.converse(client, session, line)
        : { last: line, toClient: 0, toGuest: 0 };
    leave(client, last);
    log.info({ code: last.code, ...counts }, 'console session ended');
    await this.writeEnd(session, last);
  }

  private async converse(
    client: WebSocket,
    session: ConnectedSession,
    line: Duplex,
  ): Promise<{ last: Farewell; toClient: number; toGuest: number }> {
    if (this.stopping) leave(client, farewell.serverStops);
    const { end, ...counts } = await relay(client, line, session.mode);
    if (end.by === 'line') return { last: await this.whyLineEnded(session), ...counts };
    return { last: this.stopping ? farewell.serverStops : end.farewell, ...counts };
  }

  /** A line that ended says nothing of why. The host knows. */
  private async whyLineEnded(session: ConnectedSession): Promise<Farewell> {
    const { hostId, domainId, generation } = session;
    try {
      const domain = await this.links.call(
        hostId,
        awaitHalt,
        { domainId, generation, timeoutMs: HALT_SHOWS_MS },
        { deadlineMs: HALT_SHOWS_MS + 3_000 },
      );
      const lives = domain.state === 'running' || domain.state === 'paused';
      return lives && domain.generation === generation ? farewell.lineLost : farewell.guestEnded;
    } catch (error) {
      return this.farewellFor(session, error);
    }
  }

  private farewellFor({ id: sessionId }: ConnectedSession, error: unknown): Farewell {
    if (isProblem(error, hostDomainNotFound, domainBadState)) return farewell.guestEnded;
    if (isProblem(error)) return farewell.hostAway;
    this.log.error({ err: error, sessionId }, 'console session failed');
    return farewell.serverFault;
  }

  private async writeEnd({ id }: ConnectedSession, last: Farewell): Promise<void> {
    await endSession(this.source.manager, id, last.code).catch((error: unknown) =>
      this.log.warn({ err: error, sessionId: id }, 'the end of a console session could not be written'),
    );
  }
}

function leave(client: WebSocket, { code, reason }: Farewell): void {
  // Resumed, so that the client's own close frame is read.
  client.resume();
  client.close(code, reason);
}
