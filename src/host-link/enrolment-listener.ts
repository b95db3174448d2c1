import { type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import { type AddressInfo } from 'node:net';
import { TLSSocket } from 'node:tls';
import { type z } from 'zod';
import {
  enrolInput,
  enrolPath,
  maxEnrolmentBytes,
  renewalRefused,
  renewInput,
  renewPath,
} from '../agent-contract/index.js';
import { isProblem } from '../kernel/errors/problem.js';
import { internalError, requestInvalid, requestMalformed, routeNotFound } from '../kernel/errors/problems.js';
import { type Logger } from '../kernel/logging/logger.js';
import { newId } from '../kernel/schema/values.js';
import { type CertificateAuthorities } from './certificate-authorities.js';
import { type Enrolment } from './enrolment.js';

const TIMEOUT_MS = 5_000;
const MAX_CONNECTIONS = 512;

/**
 * The one place where agents call the server: two routes, and nothing else is served. It shows a certificate of the
 * pool that the caller names in the handshake. A caller's own certificate is asked for and judged by renewal alone.
 */
export class EnrolmentListener {
  private readonly server: Server;

  constructor(
    authorities: CertificateAuthorities,
    private readonly enrolment: Enrolment,
    private readonly log: Logger,
  ) {
    this.server = createServer(
      {
        SNICallback: (serverName, done) => {
          authorities.contextFor(serverName).then(
            (context) => done(null, context ?? undefined),
            (error: unknown) => {
              this.log.error({ err: error }, 'no certificate for the enrolment listener');
              done(error instanceof Error ? error : new Error('no certificate'));
            },
          );
        },
        requestCert: true,
        rejectUnauthorized: false,
        minVersion: 'TLSv1.3',
        handshakeTimeout: TIMEOUT_MS,
        headersTimeout: TIMEOUT_MS,
        requestTimeout: TIMEOUT_MS,
        keepAliveTimeout: 1_000,
        maxHeaderSize: 8 * 1024,
      },
      (request, response) => void this.serve(request, response),
    );
    this.server.maxConnections = MAX_CONNECTIONS;
    this.server.on('tlsClientError', (error: Error) =>
      this.log.debug({ reason: error.message }, 'TLS refused'),
    );
  }

  async listen(address: { host: string; port: number }): Promise<{ port: number }> {
    await new Promise<void>((resolve, reject) => {
      this.server.once('error', reject);
      this.server.listen(address.port, address.host, () => {
        this.server.off('error', reject);
        resolve();
      });
    });
    return { port: (this.server.address() as AddressInfo).port };
  }

  async close(): Promise<void> {
    if (!this.server.listening) return;
    const closed = new Promise<void>((resolve) => this.server.close(() => resolve()));
    this.server.closeAllConnections();
    await closed;
  }

  private async serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const traceId = newId();
    const peer = request.socket.remoteAddress;
    request.on('error', () => undefined); // one that is cut off while it is read ends in readBody
    try {
      const answer = await this.answer(request);
      send(response, 200, 'application/json', answer);
    } catch (error) {
      const known = isProblem(error) ? error : internalError('The server failed; its log has the reason.');
      if (error !== known) this.log.error({ err: error, traceId }, 'an enrolment call failed');
      else
        this.log.warn(
          { audit: known.code, peer, detail: known.detail, traceId },
          'an enrolment call was refused',
        );
      send(response, known.definition.status, 'application/problem+json', known.toProblem(traceId));
    }
  }

  private async answer(request: IncomingMessage): Promise<unknown> {
    if (request.method === 'POST' && request.url === enrolPath)
      return this.enrolment.enrol(await readBody(request, enrolInput));
    if (request.method === 'POST' && request.url === renewPath) {
      const certificate =
        request.socket instanceof TLSSocket ? request.socket.getPeerX509Certificate() : undefined;
      if (!certificate) throw renewalRefused('The call came without a certificate.');
      return this.enrolment.renew(certificate, await readBody(request, renewInput));
    }
    throw routeNotFound('There is nothing here.');
  }
}

async function readBody<S extends z.ZodType>(request: IncomingMessage, schema: S): Promise<z.output<S>> {
  let value: unknown;
  try {
    value = JSON.parse((await collect(request)).toString('utf8'));
  } catch (error) {
    if (isProblem(error)) throw error;
    throw requestMalformed('The body is no JSON.');
  }
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw requestInvalid('The body has a bad value.', {
    errors: parsed.error.issues.map(({ path, message }) => ({ path: path.join('.'), message })),
  });
}

/** Not `for await`: leaving such a loop destroys the socket, and the refusal would never be read. */
function collect(request: IncomingMessage): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    request.on('data', (chunk: Buffer) => {
      size += chunk.length;
      if (size > maxEnrolmentBytes) {
        request.pause();
        reject(requestMalformed(`The body is longer than ${maxEnrolmentBytes} bytes.`));
      } else chunks.push(chunk);
    });
    request.on('end', () => resolve(Buffer.concat(chunks)));
    request.on('close', () => reject(requestMalformed('The body was cut off.')));
  });
}

function send(response: ServerResponse, status: number, type: string, body: unknown): void {
  const text = JSON.stringify(body);
  response.writeHead(status, {
    'content-type': type,
    'content-length': Buffer.byteLength(text),
    connection: 'close',
  });
  response.end(text);
}
