import { type WebSocket } from 'ws';

export interface KeepAliveTimes {
  readonly pingMs: number;
  /** Nothing heard for this long, although it was listened for: the client is gone. */
  readonly silenceMs: number;
}

/**
 * Ends connections whose client went without a word. A client that is not read for the sake of back-pressure is not
 * heard either, so its silence is not counted.
 */
export function keepAlive(client: WebSocket, { pingMs, silenceMs }: KeepAliveTimes): void {
  let heardAt = Date.now();
  const heard = (): void => {
    heardAt = Date.now();
  };
  const beat = setInterval(() => {
    if (client.isPaused) heard();
    if (Date.now() - heardAt > silenceMs) client.terminate();
    else if (client.readyState === client.OPEN) client.ping();
  }, pingMs);
  beat.unref();
  client.on('pong', heard);
  client.on('message', heard);
  client.on('close', () => clearInterval(beat));
}
