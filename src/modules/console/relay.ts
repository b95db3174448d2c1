import { type Duplex } from 'node:stream';
import { type RawData, type WebSocket } from 'ws';
import { farewell, type Farewell } from './farewell.js';
import { type ConsoleMode } from './console.schema.js';

/** Once this much waits for the client, the line is not read until half of it has gone. */
export const CLIENT_HIGH_WATER = 256 * 1024;
/** The largest message that a client may send: what a person pastes. */
export const MOST_MESSAGE_BYTES = 64 * 1024;

export type RelayEnd =
  /** The client went, or said something that ended the connection. */
  | { readonly by: 'client'; readonly farewell: Farewell }
  /** The line ended. The client is still there and waits to hear why. */
  | { readonly by: 'line'; readonly error: Error | null };

export interface RelayResult {
  readonly end: RelayEnd;
  readonly toClient: number;
  readonly toGuest: number;
}

/**
 * Carries bytes between a client and a console's line until one of them goes, and keeps none: while the client is slow
 * the line is not read, while the line is slow the client is not read. The line is destroyed in the end; the client is
 * left open if it was the line that ended, so that the caller can tell it why.
 */
export function relay(client: WebSocket, line: Duplex, mode: ConsoleMode): Promise<RelayResult> {
  return new Promise((resolve) => {
    let toClient = 0;
    let toGuest = 0;

    const onLineData = (chunk: Buffer): void => {
      toClient += chunk.length;
      client.send(chunk, { binary: true }, onSent);
      if (client.bufferedAmount > CLIENT_HIGH_WATER) line.pause();
    };
    const onSent = (): void => {
      if (line.isPaused() && client.bufferedAmount <= CLIENT_HIGH_WATER / 2) line.resume();
    };
    const onMessage = (data: RawData, isBinary: boolean): void => {
      if (!isBinary) {
        const { code, reason } = farewell.notBinary;
        finish({ by: 'client', farewell: farewell.notBinary });
        client.close(code, reason);
        return;
      }
      // What a watcher types is read and dropped: left unread, its pongs would not be seen either.
      if (mode === 'watch') return;
      const bytes = bytesOf(data);
      toGuest += bytes.length;
      if (!line.write(bytes)) client.pause();
    };
    const onDrain = (): void => client.resume();
    const onLineEnd = (): void => finish({ by: 'line', error: null });
    const onLineError = (error: Error): void => finish({ by: 'line', error });
    const onClientClose = (): void => finish({ by: 'client', farewell: farewell.byClient });

    const finish = (end: RelayEnd): void => {
      client.off('message', onMessage);
      client.off('close', onClientClose);
      client.resume();
      line.off('data', onLineData);
      line.off('drain', onDrain);
      line.off('end', onLineEnd);
      line.off('close', onLineEnd);
      line.off('error', onLineError);
      line.on('error', () => undefined);
      line.destroy();
      resolve({ end, toClient, toGuest });
    };

    client.on('message', onMessage);
    client.on('close', onClientClose);
    line.on('data', onLineData);
    line.on('drain', onDrain);
    line.on('end', onLineEnd);
    line.on('close', onLineEnd);
    line.on('error', onLineError);
    // Either may have gone before anybody listened.
    if (client.readyState !== client.OPEN) onClientClose();
    else if (line.destroyed) onLineEnd();
    else client.resume();
  });
}

function bytesOf(data: RawData): Buffer {
  if (Buffer.isBuffer(data)) return data;
  return Array.isArray(data) ? Buffer.concat(data) : Buffer.from(data);
}
