import { Readable } from 'node:stream';

export interface ServerSentEvent {
  readonly number: number;
  readonly type: string;
  /** One line. */
  readonly data: string;
}

const KEEP_ALIVE_MS = 15_000;
/** A client that takes nothing for so long is let go; it comes back with `Last-Event-ID` when it can. */
const STALLED_MS = 60_000;

/**
 * Events as `text/event-stream`. The client's own pace decides how fast they are taken: what it has not read waits in the
 * log, not here. `gone` is aborted by the caller when the connection closes, and by this when the client has stalled.
 */
export function serverSentEvents(
  events: AsyncGenerator<ServerSentEvent, void, undefined>,
  gone: AbortController,
  options: {
    keepAliveMs?: number;
    stalledMs?: number;
    /** How far the log was looked through, where not all of it is told: the client then resumes from there. */
    position?: () => number | null;
  } = {},
): Readable {
  const times = { keepAliveMs: KEEP_ALIVE_MS, stalledMs: STALLED_MS, ...options };
  let taken = performance.now();
  let offered = false;
  const stream = Readable.from(text(), { objectMode: true, highWaterMark: 16 });
  const watch = setInterval(() => {
    if (offered && performance.now() - taken > times.stalledMs) gone.abort();
  }, times.stalledMs / 4);
  gone.signal.addEventListener('abort', () => {
    clearInterval(watch);
    stream.destroy();
  });

  async function* text(): AsyncGenerator<string, void, undefined> {
    const give = function* (piece: string): Generator<string, void, undefined> {
      offered = true;
      yield piece;
      offered = false;
      taken = performance.now();
    };
    yield* give(': welcome\n\n');
    let next = events.next();
    try {
      while (!gone.signal.aborted) {
        const event = await within(next, times.keepAliveMs);
        if (event === null) yield* give(keepAlive(options.position?.() ?? null));
        else if (event.done) return;
        else {
          const { number, type, data } = event.value;
          yield* give(`id: ${number}\nevent: ${type}\ndata: ${data}\n\n`);
          next = events.next();
        }
      }
    } finally {
      clearInterval(watch);
    }
  }
  return stream;
}

/** An id without data is no event, and is remembered as the last one that came. */
const keepAlive = (position: number | null): string =>
  position === null ? ': keep-alive\n\n' : `id: ${position}\n\n`;

/** Null when the time is over first; the promise goes on. */
function within<R>(promise: Promise<R>, ms: number): Promise<R | null> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => resolve(null), ms);
    promise.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}
