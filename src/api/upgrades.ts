import { type BeforeApplicationShutdown, Injectable, type OnApplicationBootstrap } from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import { type FastifyRequest } from 'fastify';
import { type EventEmitter } from 'node:events';
import { type IncomingMessage, type Server } from 'node:http';
import { type Duplex } from 'node:stream';
import { type ProblemError } from '../kernel/errors/problem.js';
import { routeNotFound } from '../kernel/errors/problems.js';
import { traceIdOf } from './caller.js';
import { GRAPHQL_PATH } from './rest/gate.js';

export type UpgradeHandler = (request: IncomingMessage, socket: Duplex, head: Buffer) => void;

/** How long connections have to take their leave when the server stops. */
const LEAVE_MS = 1_000;

const pathOf = (request: IncomingMessage): string => (request.url ?? '').split('?', 1)[0] ?? '';

/**
 * Who takes which WebSocket. GraphQL's plugin would send every upgrade through Fastify's routes, answer ours with 404 on
 * the same socket, and leave unknown ones open for ever; so it gets those of its own path alone.
 */
@Injectable()
export class Upgrades implements OnApplicationBootstrap, BeforeApplicationShutdown {
  private readonly takers: { path: RegExp; take: UpgradeHandler }[] = [];
  private readonly sockets = new Set<Duplex>();
  private headerLines: readonly string[] = [];

  constructor(private readonly adapters: HttpAdapterHost) {}

  /** `path` is matched against the address without its query. */
  serve(path: RegExp, take: UpgradeHandler): void {
    this.takers.push({ path, take });
  }

  /** Headers that every answer has, refusals of an upgrade too. Set before it listens. */
  everyAnswerHas(headers: Readonly<Record<string, string>>): void {
    this.headerLines = Object.entries(headers).map(([name, value]) => `${name}: ${value}`);
  }

  /** A WebSocket server whose handshakes are answers like any other. */
  markHandshakes(server: EventEmitter): void {
    server.on('headers', (lines: string[]) => lines.push(...this.headerLines));
  }

  /** A refusal before the WebSocket is there: an ordinary HTTP answer on the bare socket. */
  refuse(socket: Duplex, problem: ProblemError, traceId: string): void {
    // Not left half open: the client could keep it so, and the server from stopping.
    socket.once('finish', () => socket.destroy());
    const { status, title } = problem.definition;
    const body = JSON.stringify(problem.toAnswer(traceId));
    socket.end(
      [
        `HTTP/1.1 ${status} ${title}`,
        'connection: close',
        'cache-control: no-store',
        'content-type: application/problem+json',
        `content-length: ${Buffer.byteLength(body)}`,
        `domus-trace-id: ${traceId}`,
        ...(problem.retryAfterSeconds === undefined ? [] : [`retry-after: ${problem.retryAfterSeconds}`]),
        ...this.headerLines,
        '',
        body,
      ].join('\r\n'),
    );
  }

  onApplicationBootstrap(): void {
    const server: Server = this.adapters.httpAdapter.getHttpServer();
    // By then every plugin has put its listener up.
    server.once('listening', () => {
      const others = server.listeners('upgrade');
      server.removeAllListeners('upgrade');
      server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
        this.track(socket);
        const path = pathOf(request);
        const taker = this.takers.find((one) => one.path.test(path));
        if (taker) taker.take(request, socket, head);
        else if (path === GRAPHQL_PATH && others.length > 0)
          for (const other of others) other.call(server, request, socket, head);
        else this.refuse(socket, routeNotFound('No WebSocket is served here.'), traceIdOf(request));
      });
    });
  }

  /** The HTTP server counts upgraded sockets and ends only when they have: whoever lingers is cut off. */
  beforeApplicationShutdown(): void {
    setTimeout(() => this.sockets.forEach((socket) => socket.destroy()), LEAVE_MS).unref();
  }

  private track(socket: Duplex): void {
    socket.on('error', () => socket.destroy());
    this.sockets.add(socket);
    socket.once('close', () => this.sockets.delete(socket));
  }
}

/**
 * Only pages of this very origin may connect; who sends no `Origin` is no page. Compared with the host that the client
 * asked for, and not by scheme, which is the proxy's where one ends TLS.
 */
export function isSameOrigin({ headers }: Pick<IncomingMessage, 'headers'>): boolean {
  const { origin, host } = headers;
  if (origin === undefined) return true;
  const page = URL.parse(origin);
  if (!page || page.origin !== origin || !/^https?:$/.test(page.protocol)) return false;
  return URL.parse(`${page.protocol}//${host ?? ''}`)?.origin === origin;
}

/** Where this caller reaches the server by WebSocket: the way it came. */
export const webSocketUrl = (request: Pick<FastifyRequest, 'protocol' | 'host'>, path: string): string =>
  `${request.protocol === 'https' ? 'wss' : 'ws'}://${request.host}${path}`;
