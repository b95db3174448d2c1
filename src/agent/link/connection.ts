import { type WebSocket } from 'ws';
import {
  contractVersion,
  errorText,
  FrameError,
  frameToAgent,
  heartbeatMs,
  notificationText,
  programVersion,
  readFrame,
  type RequestFrame,
  rpcCode,
  silenceMs,
} from '../../agent-contract/index.js';
import { failpoint } from '../../kernel/failpoint.js';
import { type Logger } from '../../kernel/logging/logger.js';
import { keepAlive } from '../../kernel/websocket/keep-alive.js';
import { type Dispatch } from '../dispatch.js';
import { type Inventory } from '../inventory/inventory.js';

/** More requests at once than this on one connection is no server of ours. */
const MAX_PENDING = 10_000;
/** A peer that does not read for so long that this much waits for it is cut off; it will ask for a snapshot again. */
const MAX_BUFFERED_BYTES = 64 * 1024 * 1024;

export interface Host {
  readonly hostId: string;
  readonly hostEpoch: () => number;
}

interface Parts {
  readonly host: Host;
  readonly dispatch: Dispatch;
  readonly inventory: Inventory;
  readonly log: Logger;
}

/** Serves one control connection until it ends. Writes that are under way then go on; what only reads is stopped. */
export function serveLink(socket: WebSocket, parts: Parts): void {
  const { host, dispatch, inventory, log } = parts;
  const pending = new Map<number, AbortController>();
  let endStream: () => void = () => undefined;

  const send = (text: string) => {
    if (socket.readyState !== socket.OPEN) return;
    if (socket.bufferedAmount > MAX_BUFFERED_BYTES) socket.terminate();
    else socket.send(text);
  };
  const subscribe = () => {
    endStream();
    endStream = inventory.stream(
      host,
      (frame) => send(notificationText('state', frame)),
      (error) => {
        log.error({ err: error }, 'the state stream could not begin');
        socket.close(1011, 'state');
      },
    );
  };

  const receive = (text: string) => {
    const frame = readFrame(frameToAgent, text);
    if (!('id' in frame)) {
      pending.get(frame.params.id)?.abort();
      return;
    }
    if (pending.has(frame.id) || pending.size >= MAX_PENDING) {
      send(errorText(frame.id, rpcCode.invalidRequest, 'The id is in use, or too many requests wait.'));
      return;
    }
    const controller = new AbortController();
    pending.set(frame.id, controller);
    void answer(frame, controller.signal);
  };

  const answer = async (frame: RequestFrame, signal: AbortSignal) => {
    const { fence } = frame.params;
    const received = failpoint && fence ? await failpoint('agent.received', fence) : 'pass';
    // A message is only ever lost with its connection.
    if (received === 'drop') return socket.terminate();
    if (received === 'duplicate') void dispatch.answer(frame, { signal, subscribe });
    const text = await dispatch.answer(frame, { signal, subscribe });
    const reply = failpoint && fence ? await failpoint('agent.reply', fence) : 'pass';
    pending.delete(frame.id);
    if (reply === 'drop') return socket.terminate();
    if (reply === 'duplicate') send(text);
    send(text);
  };

  socket.on('message', (data: Buffer, isBinary) => {
    try {
      if (isBinary) throw new FrameError('The control channel carries text only.');
      receive(data.toString('utf8'));
    } catch (error) {
      log.warn({ err: error }, 'a message that is no frame ended the connection');
      socket.close(1002, 'frame');
    }
  });
  keepAlive(socket, { pingMs: heartbeatMs, silenceMs: silenceMs + heartbeatMs });
  socket.on('error', (error) => log.debug({ err: error }, 'link error'));
  socket.on('close', () => {
    endStream();
    for (const controller of pending.values()) controller.abort(new Error('The connection is gone.'));
    pending.clear();
  });
  send(
    notificationText('hello', {
      contract: contractVersion,
      agentVersion: programVersion,
      hostId: host.hostId,
      hostEpoch: host.hostEpoch(),
    }),
  );
}
