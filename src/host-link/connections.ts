import { type Duplex } from 'node:stream';
import { type DataSource } from 'typeorm';
import { createWebSocketStream, WebSocket } from 'ws';
import {
  type AgentCall,
  type CallInput,
  type CallOutput,
  consoleProtocol,
  consoleStreamPath,
} from '../agent-contract/index.js';
import { isProblem, problem, ProblemError } from '../kernel/errors/problem.js';
import { callFenced, callTimedOut, hostUnreachable } from '../kernel/errors/problems.js';
import { type Logger } from '../kernel/logging/logger.js';
import { AgentConnection, type Target, towards } from './agent-connection.js';
import { insideNetworks, readAddress } from './agent-networks.js';
import { type CertificateAuthorities, type ServerIdentity } from './certificate-authorities.js';
import { type CallOptions, HostLink, type HostWatch } from './host-link.js';

interface Slot {
  connection: AgentConnection | null;
  dialling: Promise<AgentConnection> | null;
  /** Console lines to the host. */
  readonly lines: Set<WebSocket>;
}

const MAX_CONSOLE_MESSAGE_BYTES = 1024 * 1024;
const MAX_PROBLEM_BYTES = 64 * 1024;

/** Keeps one control connection per host that somebody asked for, and makes it again when it is gone and asked for again. */
export class HostConnections extends HostLink {
  private readonly slots = new Map<string, Slot>();
  private ended = false;
  private writeListener: (hostId: string, operationId: string) => void = () => undefined;
  private watch: HostWatch | null = null;

  constructor(
    private readonly dataSource: DataSource,
    private readonly authorities: CertificateAuthorities,
    private readonly log: Logger,
  ) {
    super();
  }

  async call<C extends AgentCall>(
    hostId: string,
    call: C,
    input: CallInput<C>,
    options: CallOptions = {},
  ): Promise<CallOutput<C>> {
    if (call.effect === 'write' && !options.fence)
      throw new Error(`${call.name} changes something and needs a fence.`);
    const deadlineMs = Math.min(options.deadlineMs ?? call.deadlineMs, call.deadlineMs);
    const started = performance.now();
    const opening = call.whileBehind ? this.connectionWhateverEpoch(hostId) : this.connection(hostId);
    const connection = await within(deadlineMs, options.signal, call.name, opening).catch(
      (error: unknown) => {
        throw call.effect === 'write' ? neverLeft(error) : error;
      },
    );
    const left = deadlineMs - (performance.now() - started);
    if (left < 1) throw callTimedOut(`${call.name} was not answered within ${deadlineMs} ms.`);
    const fence = options.fence ?? null;
    try {
      const { signal } = options;
      const result = await connection.call(call.name, input, { fence, deadlineMs: Math.floor(left), signal });
      if (fence) this.writeListener(hostId, fence.operationId);
      return readOutput(call, result);
    } catch (error) {
      if (fence && isProblem(error, callFenced))
        this.watch?.lateCall(hostId, { call: call.name, fence, detail: error.detail });
      throw error;
    } finally {
      if (connection.behind) connection.terminate();
    }
  }

  /** Told of every write that an agent has answered. */
  onWrite(listener: (hostId: string, operationId: string) => void): void {
    this.writeListener = listener;
  }

  /** Who is told of what the link learns of a host beside its state. */
  watchedBy(watch: HostWatch): void {
    this.watch = watch;
  }

  async openConsole(
    hostId: string,
    domainId: string,
    consoleId: string,
    mode: 'drive' | 'watch',
  ): Promise<Duplex> {
    // A line that is not read for the sake of back-pressure cannot be told from a dead one; the control connection can.
    await this.connection(hostId);
    const { target, identity } = await this.find(hostId);
    const { lines } = this.slot(hostId);
    const path = consoleStreamPath(domainId, consoleId, mode);
    return new Promise((resolve, reject) => {
      const socket = new WebSocket(`wss://${target.address}${path}`, consoleProtocol, {
        ...towards({ ...target, admitsOlder: false }, identity, MAX_CONSOLE_MESSAGE_BYTES),
      });
      lines.add(socket);
      socket.once('close', () => lines.delete(socket));
      const fail = (cause: unknown) =>
        reject(hostUnreachable(`The agent of host ${hostId} cannot be reached.`, { cause }));
      socket.once('error', fail);
      socket.once('open', () => {
        socket.off('error', fail);
        const bytes = createWebSocketStream(socket);
        // The far end is gone: what it sent can still be read, and then the stream closes, which it would not by itself.
        socket.once('close', () => {
          if (bytes.readableEnded) bytes.destroy();
          else bytes.once('end', () => bytes.destroy());
        });
        resolve(bytes);
      });
      socket.once('unexpected-response', (_request, response) => {
        let text = '';
        response.setEncoding('utf8');
        response.on('data', (part: string) => {
          text += part;
          if (text.length > MAX_PROBLEM_BYTES) response.destroy();
        });
        response.on('close', () => {
          socket.terminate();
          try {
            reject(ProblemError.fromProblem(problem.parse(JSON.parse(text))));
          } catch (cause) {
            fail(cause);
          }
        });
      });
    });
  }

  dial(hostId: string): void {
    this.connection(hostId).catch((error: unknown) => this.log.debug({ err: error, hostId }, 'dial failed'));
  }

  /** The open connection, or a new one; callers that come while it is dialled share the attempt. */
  connection(hostId: string): Promise<AgentConnection> {
    const slot = this.slot(hostId);
    if (slot.connection?.open) return Promise.resolve(slot.connection);
    slot.dialling ??= this.open(hostId, slot).finally(() => (slot.dialling = null));
    return slot.dialling;
  }

  /** For what may be asked of an agent that is behind: then a connection for this one call, since its epoch may be the next thing to change. */
  private async connectionWhateverEpoch(hostId: string): Promise<AgentConnection> {
    const slot = this.slot(hostId);
    if (slot.connection?.open) return slot.connection;
    const connection = await this.dialled(hostId);
    if (!connection.behind) this.keep(slot, connection);
    return connection;
  }

  /** Cuts a connection that should not go on: the host has another epoch or address, or says nothing any more. */
  disconnect(hostId: string): void {
    this.slots.get(hostId)?.connection?.terminate();
  }

  close(): void {
    this.ended = true;
    for (const { connection } of this.slots.values()) connection?.terminate();
  }

  private slot(hostId: string): Slot {
    const slot = this.slots.get(hostId) ?? { connection: null, dialling: null, lines: new Set() };
    this.slots.set(hostId, slot);
    return slot;
  }

  private async open(hostId: string, slot: Slot): Promise<AgentConnection> {
    const connection = await this.dialled(hostId);
    if (connection.behind) {
      connection.terminate();
      this.watch?.behind(hostId);
      throw hostUnreachable('The host was declared dead and has come back: it is being brought up to date.');
    }
    this.keep(slot, connection);
    return connection;
  }

  private async dialled(hostId: string): Promise<AgentConnection> {
    const { target, identity } = await this.find(hostId);
    const connection = await AgentConnection.open(target, identity, this.log);
    if (!this.ended) return connection;
    connection.terminate();
    throw hostUnreachable('The host link is closed.');
  }

  private keep(slot: Slot, connection: AgentConnection): void {
    slot.connection?.terminate();
    slot.connection = connection;
    void connection.closed.then(() => {
      if (slot.connection !== connection) return;
      slot.connection = null;
      for (const line of slot.lines) line.terminate();
    });
  }

  private async find(hostId: string): Promise<{ target: Target; identity: ServerIdentity }> {
    if (this.ended) throw hostUnreachable('The host link is closed.');
    const [row] = await this.dataSource.query<
      {
        pool_id: string;
        epoch: number;
        key_hash: Buffer;
        dead: boolean;
        address: string;
        agent_networks: string[];
      }[]
    >(
      `select host.pool_id, host.epoch, host.key_hash, host.fenced_at is not null as dead, host.address, pool.agent_networks
       from host join pool on pool.id = host.pool_id where host.id = $1`,
      [hostId],
    );
    if (!row) throw hostUnreachable(`There is no host ${hostId}.`);
    const address = readAddress(row.address);
    if (!address || !insideNetworks(address.host, row.agent_networks))
      throw hostUnreachable(`The pool does not allow dialling ${row.address}.`);
    const identity = await this.authorities.serverIdentity(row.pool_id);
    if (!identity) throw new Error('A pool has hosts and no certificate authority.');
    const { epoch, key_hash: keyHash, dead: admitsOlder } = row;
    return { target: { hostId, epoch, keyHash, admitsOlder, address: row.address }, identity };
  }
}

/** Until there is a connection nothing has been sent. Not said of a read: its step may have written before. */
function neverLeft(error: unknown): unknown {
  if (!isProblem(error, hostUnreachable, callTimedOut)) return error;
  const { definition, detail, cause } = error;
  return new ProblemError(definition, detail, { cause, hadNoEffect: true });
}

function readOutput<C extends AgentCall>(call: C, result: unknown): CallOutput<C> {
  const parsed = call.output.safeParse(result);
  if (!parsed.success)
    throw new Error(`The agent's answer to ${call.name} is not what the contract says.`, {
      cause: parsed.error,
    });
  return parsed.data as CallOutput<C>;
}

async function within<T>(
  milliseconds: number,
  signal: AbortSignal | undefined,
  name: string,
  work: Promise<T>,
): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  let abort: (() => void) | undefined;
  const over = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(
      () => reject(callTimedOut(`${name} was not answered within ${milliseconds} ms.`)),
      milliseconds,
    );
    abort = () => reject(signal?.reason as Error);
    if (signal?.aborted) abort();
    else signal?.addEventListener('abort', abort, { once: true });
  });
  try {
    return await Promise.race([work, over]);
  } finally {
    clearTimeout(timer);
    if (abort) signal?.removeEventListener('abort', abort);
  }
}
