import { type BeforeApplicationShutdown, Inject, Injectable } from '@nestjs/common';
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

  /** Serves a connection until it ends. The client is not read before the line is there. */
  serve(client: WebSocket, session: ConnectedSession): void {
    client.pause();
    client.on('error', (error) =>
      this.log.debug({ err: error, sessionId: session.id }, 'a console client erred'),
    );
    const served = this.run(client, session).finally(() => this.live.delete(client));
    this.live.set(client, served);
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

  private async run(client: WebSocket, session: ConnectedSession): Promise<void> {
    const { id: sessionId, consoleId, domainId, hostId, mode, actor } = session;
    const log = this.log.child({ sessionId, consoleId, domainId, hostId });
    log.info({ mode, actor }, 'console session began');
    keepAlive(client, KEEP_ALIVE);
    const { last, ...counts } = await this.converse(client, session).catch((error: unknown) => {
      log.error({ err: error }, 'console session failed');
      return { last: farewell.serverFault, toClient: 0, toGuest: 0 };
    });
    leave(client, last);
    log.info({ code: last.code, ...counts }, 'console session ended');
    await endSession(this.source.manager, sessionId, last.code).catch((error: unknown) =>
      log.warn({ err: error }, 'the end of a console session could not be written'),
    );
  }

  private async converse(
    client: WebSocket,
    session: ConnectedSession,
  ): Promise<{ last: Farewell; toClient: number; toGuest: number }> {
    const none = { toClient: 0, toGuest: 0 };
    if (this.stopping) return { last: farewell.serverStops, ...none };
    if (!session.current) return { last: farewell.guestEnded, ...none };
    const { hostId, domainId, consoleId, mode } = session;
    let line;
    try {
      line = await this.links.openConsole(hostId, domainId, consoleId, mode);
    } catch (error) {
      return { last: farewellFor(error), ...none };
    }
    const { end, ...counts } = await relay(client, line, mode);
    if (end.by === 'client') return { last: this.stopping ? farewell.serverStops : end.farewell, ...counts };
    return { last: await this.whyLineEnded(session), ...counts };
  }

  /** A line that ended says nothing of why. The host knows. */
  private async whyLineEnded({ hostId, domainId, generation }: ConnectedSession): Promise<Farewell> {
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
      return farewellFor(error);
    }
  }
}

function farewellFor(error: unknown): Farewell {
  if (isProblem(error, hostDomainNotFound, domainBadState)) return farewell.guestEnded;
  if (isProblem(error)) return farewell.hostAway;
  throw error;
}

function leave(client: WebSocket, { code, reason }: Farewell): void {
  // Resumed, so that the client's own close frame is read.
  client.resume();
  client.close(code, reason);
}
