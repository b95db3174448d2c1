import { createHash, X509Certificate } from 'node:crypto';
import { connect, type PeerCertificate, type TLSSocket } from 'node:tls';
import { WebSocket } from 'ws';
import {
  capabilityAbsent,
  type ErrorFrame,
  type Fence,
  FrameError,
  type FrameToServer,
  frameToServer,
  heartbeatMs,
  type Hello,
  linkPath,
  linkProtocol,
  maxFrameBytes,
  notificationText,
  readFrame,
  readIdentity,
  requestText,
  rpcCode,
  silenceMs,
  type StateFrame,
} from '../agent-contract/index.js';
import { type Problem, ProblemError } from '../kernel/errors/problem.js';
import { callTimedOut, hostUnreachable } from '../kernel/errors/problems.js';
import { type Logger } from '../kernel/logging/logger.js';
import { readAddress } from './agent-networks.js';
import { type ServerIdentity } from './certificate-authorities.js';

export interface Target {
  readonly hostId: string;
  readonly epoch: number;
  /** SHA-256 of the agent's public key: a certificate of the CA for another key is not this host's. */
  readonly keyHash: Buffer;
  /** The host was declared dead: the agent may come back with an older epoch, to be brought up to date. */
  readonly admitsOlder: boolean;
  /** `ip:port`, checked against the pool's networks. */
  readonly address: string;
}

const DIAL_MS = 5_000;
/** Above this much unsent, callers wait until the socket has drained. */
const HIGH_WATER_BYTES = 4 * 1024 * 1024;
const DRAIN_POLL_MS = 5;

interface Pending {
  readonly resolve: (result: unknown) => void;
  readonly reject: (reason: unknown) => void;
}

/** WebSocket settings under which this one host alone, at this epoch, is spoken to. */
export const towards = (
  target: Target,
  identity: ServerIdentity,
  maxPayload: number,
  onEpoch: (epoch: number) => void = () => undefined,
) => ({
  handshakeTimeout: DIAL_MS,
  perMessageDeflate: false,
  maxPayload,
  // Of our own: the typings of ws have `checkServerIdentity` the wrong way round (true would be a refusal), and its
  // default connection resumes nothing only as long as no agent with a session cache is put in between.
  createConnection: (): TLSSocket => {
    const address = readAddress(target.address);
    if (!address) throw new Error('The address of the host is no ip:port.');
    return connect({
      ...address,
      ca: identity.ca,
      key: identity.key,
      cert: identity.certificate,
      minVersion: 'TLSv1.3',
      rejectUnauthorized: true,
      checkServerIdentity: (_name, certificate) => {
        const epoch = epochOf(certificate, target);
        if (epoch === null) return new Error('The certificate speaks for another host or epoch.');
        onEpoch(epoch);
        return undefined;
      },
    });
  },
});

/** The epoch for which the target's own key is certified; null when the certificate is not one that it may show. */
function epochOf(certificate: PeerCertificate, target: Target): number | null {
  const peer = readIdentity(certificate.subjectaltname);
  if (peer?.role !== 'host' || peer.hostId !== target.hostId) return null;
  const { publicKey } = new X509Certificate(certificate.raw);
  const key = createHash('sha256')
    .update(publicKey.export({ type: 'spki', format: 'der' }))
    .digest();
  if (!key.equals(target.keyHash)) return null;
  const fits = peer.epoch === target.epoch || (target.admitsOlder && peer.epoch < target.epoch);
  return fits ? peer.epoch : null;
}

/** One control connection to one agent: requests out, answers and state frames in. */
export class AgentConnection {
  private readonly pending = new Map<number, Pending>();
  private lastId = 0;
  private heard = Date.now();
  private answered = performance.now();
  private readonly beat: NodeJS.Timeout;
  /** The epoch that the agent's certificate names. */
  private epoch = 0;
  private stateListener: ((frame: StateFrame, bytes: number) => void) | null = null;
  /** Resolves when the connection is over. */
  readonly closed: Promise<void>;

  private constructor(
    readonly target: Target,
    private readonly socket: WebSocket,
    private readonly log: Logger,
    private readonly greet: (hello: Hello) => void,
  ) {
    socket.on('message', (data: Buffer, isBinary) => this.receive(data, isBinary));
    const hear = () => (this.heard = Date.now());
    socket.on('pong', () => {
      hear();
      this.answered = performance.now();
    });
    socket.on('ping', hear);
    this.beat = setInterval(() => this.keepAlive(), heartbeatMs);
    this.closed = new Promise((resolve) => {
      socket.on('close', () => {
        clearInterval(this.beat);
        for (const { reject } of this.pending.values())
          reject(hostUnreachable('The connection to the agent was lost while the call was under way.'));
        this.pending.clear();
        resolve();
      });
    });
  }

  /** Dials, proves both sides, and waits for the agent's first word. Rejects with `host.unreachable`. */
  static open(target: Target, identity: ServerIdentity, log: Logger): Promise<AgentConnection> {
    return new Promise((resolve, reject) => {
      let peerEpoch = 0;
      const socket = new WebSocket(`wss://${target.address}${linkPath}`, linkProtocol, {
        ...towards(target, identity, maxFrameBytes, (epoch) => (peerEpoch = epoch)),
      });
      const fail = (cause: unknown) => {
        clearTimeout(timer);
        socket.terminate();
        reject(hostUnreachable(`The agent of host ${target.hostId} cannot be reached.`, { cause }));
      };
      const timer = setTimeout(() => fail(new Error('no hello in time')), DIAL_MS);
      const connection = new AgentConnection(target, socket, log, (hello) => {
        clearTimeout(timer);
        connection.epoch = peerEpoch;
        if (hello.hostId === target.hostId) resolve(connection);
        else fail(new Error('The agent says that it is another host.'));
      });
      socket.on('error', fail);
      socket.on('close', () => fail(new Error('closed')));
    });
  }

  get open(): boolean {
    return this.socket.readyState === WebSocket.OPEN;
  }

  /** The agent has an older epoch than its host: it may only be brought up to date. */
  get behind(): boolean {
    return this.epoch < this.target.epoch;
  }

  /**
   * When the agent last answered something, by this process's monotonic clock. What it says unasked proves only one of the
   * two ways: a host that hears nothing any more may go on speaking.
   */
  get answeredAt(): number {
    return this.answered;
  }

  /** Where the frames of a state stream go from now on, each with how long its text was. */
  onState(listener: (frame: StateFrame, bytes: number) => void): void {
    this.stateListener = listener;
  }

  async call(
    method: string,
    input: unknown,
    options: { fence: Fence | null; deadlineMs: number; signal?: AbortSignal | undefined },
  ): Promise<unknown> {
    const { fence, deadlineMs, signal } = options;
    const deadline = Date.now() + deadlineMs;
    const timedOut = () => callTimedOut(`${method} was not answered within ${deadlineMs} ms.`);
    while (this.open && this.socket.bufferedAmount > HIGH_WATER_BYTES) {
      signal?.throwIfAborted();
      if (Date.now() >= deadline) throw timedOut();
      await new Promise((resolve) => setTimeout(resolve, DRAIN_POLL_MS));
    }
    signal?.throwIfAborted();
    if (!this.open) throw hostUnreachable('The connection to the agent is closed.');
    const id = (this.lastId += 1);
    const give = (error: unknown) => {
      this.pending.get(id)?.reject(error);
      if (this.open) this.socket.send(notificationText('cancel', { id }));
    };
    const abort = () => give(signal?.reason);
    const timer = setTimeout(() => give(timedOut()), Math.max(1, deadline - Date.now()));
    signal?.addEventListener('abort', abort, { once: true });
    try {
      return await new Promise((resolve, reject) => {
        this.pending.set(id, { resolve, reject });
        this.socket.send(requestText(id, method, { input, fence, deadlineMs }));
      });
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener('abort', abort);
      this.pending.delete(id);
    }
  }

  /** Cuts it off at once; calls that are under way fail. */
  terminate(): void {
    this.socket.terminate();
  }

  private receive(data: Buffer, isBinary: boolean): void {
    this.heard = Date.now();
    try {
      if (isBinary) throw new FrameError('The control channel carries text only.');
      this.take(readFrame(frameToServer, data.toString('utf8')), data.length);
    } catch (error) {
      this.log.warn({ err: error, hostId: this.target.hostId }, 'a message that is no frame ended the link');
      this.socket.close(1002, 'frame');
    }
  }

  private take(frame: FrameToServer, bytes: number): void {
    if ('method' in frame) {
      if (frame.method === 'hello') this.greet(frame.params);
      else this.stateListener?.(frame.params, bytes);
      return;
    }
    this.answered = performance.now();
    // An answer that nobody waits for any more is dropped.
    const waiting = frame.id === null ? undefined : this.pending.get(frame.id);
    if ('error' in frame) waiting?.reject(errorOf(frame.error));
    else waiting?.resolve(frame.result);
  }

  private keepAlive(): void {
    // A large snapshot may keep a pong waiting for a while.
    const unanswered = performance.now() - this.answered > silenceMs + heartbeatMs;
    if (unanswered || Date.now() - this.heard > silenceMs) this.socket.terminate();
    else if (this.open) this.socket.ping();
  }
}

/** An agent of an older contract does not know the call: that is an honest refusal. Anything else unnamed is a fault. */
function errorOf({ code, message, data }: ErrorFrame['error']): Error {
  if (data && isRefusal(data)) return ProblemError.fromProblem(data);
  if (code === rpcCode.unknownMethod)
    return capabilityAbsent('The agent of the host is too old for this call.');
  return new Error(`The agent answered: ${message}`);
}

/** What an agent calls a problem reaches clients and decides what is repeated: only what looks like one of ours is let through. */
const isRefusal = ({ code, status }: Problem): boolean =>
  /^[a-z_]+\.[a-z_]+$/.test(code) && status >= 400 && status < 600;
