import { Duplex } from 'node:stream';

/** How far a reader may fall behind before it is let go. It bounds the memory that a reader who sleeps can cost. */
const BEHIND_LIMIT_BYTES = 1 << 20;

type Sink = (bytes: Buffer, done: (error?: Error | null) => void) => void;

/**
 * One serial line, many streams: each gets every byte from when it was opened, and what any of them writes goes to the
 * line. A reader that falls too far behind is destroyed with an error; it never holds up the guest or the others.
 */
export class ConsoleFanOut {
  private readonly streams = new Set<FanOutStream>();

  constructor(
    private readonly toLine: Sink,
    private readonly onEmpty: () => void = () => undefined,
    private readonly behindLimit = BEHIND_LIMIT_BYTES,
  ) {}

  get size(): number {
    return this.streams.size;
  }

  open(): Duplex {
    const stream = new FanOutStream(this.toLine, () => {
      if (this.streams.delete(stream) && this.streams.size === 0) this.onEmpty();
    });
    this.streams.add(stream);
    return stream;
  }

  /** Bytes from the guest. */
  feed(bytes: Buffer): void {
    for (const stream of [...this.streams]) {
      if (stream.readableLength + bytes.length > this.behindLimit) {
        stream.destroy(new Error('The reader of the console is too slow; it was let go.'));
      } else {
        stream.push(bytes);
      }
    }
  }

  /** The line is gone: every stream ends after what it has not read yet. */
  end(): void {
    for (const stream of [...this.streams]) {
      stream.push(null);
      stream.end();
    }
  }
}

class FanOutStream extends Duplex {
  constructor(
    private readonly toLine: Sink,
    private readonly onClosed: () => void,
  ) {
    // Leaving is closing: half a console is of no use to anyone.
    super({ allowHalfOpen: false, emitClose: true });
  }

  override _read(): void {
    // Bytes come when the guest speaks.
  }

  override _write(bytes: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.toLine(bytes, done);
  }

  override _final(done: () => void): void {
    this.push(null);
    this.onClosed();
    done();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.onClosed();
    done(error);
  }
}
