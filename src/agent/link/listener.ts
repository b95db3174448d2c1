import { type IncomingMessage } from 'node:http';
import { createServer, type Server } from 'node:https';
import { type AddressInfo, type Socket } from 'node:net';
import { type Duplex } from 'node:stream';
import { TLSSocket } from 'node:tls';
import { WebSocketServer } from 'ws';
import {
  consoleProtocol,
  linkPath,
  linkProtocol,
  maxFrameBytes,
  readIdentity,
} from '../../agent-contract/index.js';
import { isProblem, type ProblemError } from '../../kernel/errors/problem.js';
import { internalError } from '../../kernel/errors/problems.js';
import { type Logger } from '../../kernel/logging/logger.js';
import { newId } from '../../kernel/schema/values.js';
import { type Host, serveLink } from './connection.js';
import { serveConsole } from './console-stream.js';
import { type Dispatch } from '../dispatch.js';
import { type Inventory } from '../inventory/inventory.js';

const HANDSHAKE_MS = 5_000;
/**
 * Connections of one address that have not shown a certificate yet. With one more the oldest is closed: in a flood of
 * half-open ones the server, which proves itself within milliseconds, still gets in.
 */
const MAX_UNPROVEN_PER_ADDRESS = 64;
const MAX_CONSOLE_MESSAGE_BYTES = 1024 * 1024;

const consolePath = /^\/consoles\/([0-9a-f-]{36})\/([0-9a-f-]{36})\?mode=(drive|watch)$/;

export interface TlsIdentity {
  readonly key: string;
  readonly certificate: string;
  readonly ca: string;
}

export interface ListenerParts {
  readonly host: Host;
  readonly dispatch: Dispatch;
  readonly inventory: Inventory;
  readonly openConsole: (domainId: string, consoleId: string) => Promise<Duplex>;
  readonly log: Logger;
}

/**
 * The only door of the agent: TLS 1.3, and in only for a certificate of the pool's CA that speaks for the server.
 * Another host's certificate comes from the same CA and is shown out.
 */
export class Listener {
  private readonly server: Server;
  private readonly link: WebSocketServer;
  private readonly consoles: WebSocketServer;
  private readonly unproven = new Map<string, Map<string, Socket>>();
  private readonly sockets = new Set<Socket>();
  private parts: ListenerParts | null = null;

  constructor(private readonly log: Logger) {
    this.server = createServer(
      {
        requestCert: true,
        rejectUnauthorized: true,
        minVersion: 'TLSv1.3',
        handshakeTimeout: HANDSHAKE_MS,
        headersTimeout: HANDSHAKE_MS,
        requestTimeout: HANDSHAKE_MS,
        maxHeaderSize: 8 * 1024,
      },
      (_request, response) => response.writeHead(404, { connection: 'close' }).end(),
    );
    this.link = upgrader(linkProtocol, maxFrameBytes);
    this.consoles = upgrader(consoleProtocol, MAX_CONSOLE_MESSAGE_BYTES);
    this.server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
      socket.on('error', () => socket.destroy());
      this.upgrade(request, socket, head).catch((error: unknown) => refuse(socket, this.problemOf(error)));
    });
    this.server.prependListener('connection', (socket: Socket) => this.limitUnproven(socket));
    this.server.on('secureConnection', (socket: TLSSocket) => this.proven(socket));
    this.server.on('tlsClientError', (error: Error) =>
      this.log.debug({ reason: error.message }, 'TLS refused'),
    );
  }

  /** Takes the port. Until `serve`, every handshake fails for want of a certificate. */
  async listen(address: { host: string; port: number }): Promise<number> {
    await new Promise<void>((resolve, reject) => {
      this.server.once('error', reject);
      this.server.listen(address.port, address.host, () => {
        this.server.off('error', reject);
        resolve();
      });
    });
    return (this.server.address() as AddressInfo).port;
  }

  serve(identity: TlsIdentity, parts: ListenerParts): void {
    this.renew(identity);
    this.parts = parts;
  }

  /** Shows another certificate from the next connection on. */
  renew({ key, certificate, ca }: TlsIdentity): void {
    this.server.setSecureContext({ key, cert: certificate, ca, minVersion: 'TLSv1.3' });
  }

  /** Remembers what is open now. The returned function cuts it: the port stays open, and what came later as well. */
  connectionsOfNow(): () => void {
    const present = [...this.sockets];
    return () => present.forEach((socket) => socket.destroy());
  }

  /** Closes the port and cuts every connection. */
  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.server.close(() => resolve()));
    this.server.closeAllConnections();
    for (const socket of this.sockets) socket.destroy();
    await closed;
  }

  private async upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    const { parts } = this;
    if (!parts || !(socket instanceof TLSSocket) || !isServer(socket)) {
      this.log.warn({ audit: 'link.refused' }, 'a peer that is not the server was refused');
      answer(socket, 403, '');
      return;
    }
    if (request.url === linkPath) {
      this.link.handleUpgrade(request, socket, head, (webSocket) => serveLink(webSocket, parts));
      return;
    }
    const [, domainId, consoleId, mode] = consolePath.exec(request.url ?? '') ?? [];
    if (!domainId || !consoleId) {
      answer(socket, 404, '');
      return;
    }
    const line = await parts.openConsole(domainId, consoleId);
    if (socket.destroyed) {
      line.destroy();
      return;
    }
    this.consoles.handleUpgrade(request, socket, head, (webSocket) =>
      serveConsole(webSocket, line, mode === 'drive' ? 'drive' : 'watch', this.log),
    );
  }

  private problemOf(error: unknown): ProblemError {
    if (isProblem(error)) return error;
    this.log.error({ err: error }, 'an upgrade failed');
    return internalError('The agent failed; its log has the reason.');
  }

  private limitUnproven(socket: Socket): void {
    this.sockets.add(socket);
    const address = socket.remoteAddress ?? '';
    const port = String(socket.remotePort);
    const waiting = this.unproven.get(address) ?? new Map<string, Socket>();
    this.unproven.set(address, waiting.set(port, socket));
    socket.on('close', () => {
      this.sockets.delete(socket);
      this.settle(address, port);
    });
    const [oldest] = waiting.values();
    if (waiting.size > MAX_UNPROVEN_PER_ADDRESS) oldest?.destroy();
  }

  private proven(socket: TLSSocket): void {
    this.settle(socket.remoteAddress ?? '', String(socket.remotePort));
  }

  private settle(address: string, port: string): void {
    const waiting = this.unproven.get(address);
    if (waiting?.delete(port) && waiting.size === 0) this.unproven.delete(address);
  }
}

const upgrader = (protocol: string, maxPayload: number): WebSocketServer =>
  new WebSocketServer({
    noServer: true,
    clientTracking: false,
    perMessageDeflate: false,
    maxPayload,
    handleProtocols: (offered) => (offered.has(protocol) ? protocol : false),
  });

function isServer(socket: TLSSocket): boolean {
  const identity = readIdentity(socket.getPeerX509Certificate()?.subjectAltName);
  return socket.authorized && identity?.role === 'server';
}

function refuse(socket: Duplex, error: ProblemError): void {
  const problem = error.toProblem(newId());
  answer(socket, problem.status, JSON.stringify(problem));
}

function answer(socket: Duplex, status: number, body: string): void {
  socket.end(
    `HTTP/1.1 ${status} Refused\r\nconnection: close\r\ncontent-type: application/problem+json\r\n` +
      `content-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
}
