import { type WebSocket } from 'ws';

export interface KeepAliveTimes {
  readonly pingMs: number;
  /** Nothing heard for this long, although it was listened for: the peer is gone. */
  readonly silenceMs: number;
}

/**
 * Pings, and ends a connection whose peer went without a word: a half-open one holds resources for ever. A peer that is
 * not read for the sake of back-pressure is not heard either, so its silence is not counted.
 */
export function keepAlive(socket: WebSocket, { pingMs, silenceMs }: KeepAliveTimes): void {
  let heardAt = Date.now();
  const heard = (): void => {
    heardAt = Date.now();
  };
  const beat = setInterval(() => {
    if (socket.isPaused) heard();
    if (Date.now() - heardAt > silenceMs) socket.terminate();
    else if (socket.readyState === socket.OPEN) socket.ping();
  }, pingMs);
  beat.unref();
  for (const event of ['message', 'ping', 'pong']) socket.on(event, heard);
  socket.on('close', () => clearInterval(beat));
}
