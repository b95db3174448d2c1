import { constants } from 'node:fs';
import { open, rename, rm, type FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';

/** The few things that the log does with its file; a test puts a full disk here. */
export type LogHandle = Pick<FileHandle, 'write' | 'datasync' | 'truncate' | 'close'>;

interface Waiting {
  line: string;
  durable: boolean;
  resolve: () => void;
  reject: (reason: unknown) => void;
}

/**
 * An append-only file of lines. Lines that come while a write is under way go together in the next one, so that many
 * durable lines cost one fdatasync. A failed write is cut off again, so that the file never holds half a line with a
 * whole one behind it.
 */
export class LogFile {
  private waiting: Waiting[] = [];
  private tail: Promise<void> = Promise.resolve();
  private scheduled = false;
  private torn = false;

  constructor(
    private readonly path: string,
    private handle: LogHandle,
    private size: number,
  ) {}

  static async open(path: string, validBytes: number): Promise<LogFile> {
    const handle = await open(path, constants.O_RDWR | constants.O_CREAT, 0o600);
    await handle.truncate(validBytes);
    return new LogFile(path, handle, validBytes);
  }

  get bytes(): number {
    return this.size;
  }

  /** Resolves once the line is written, and when `durable` once it would survive a loss of power. */
  append(line: string, durable: boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      this.waiting.push({ line, durable, resolve, reject });
      if (this.scheduled) return;
      this.scheduled = true;
      this.tail = this.tail.then(() => this.flush());
    });
  }

  /** Puts `lines()` in place of the whole file, atomically. Lines appended meanwhile follow them. */
  rewrite(lines: () => string[]): Promise<void> {
    const done = this.tail.then(() => this.replace(lines().join('')));
    this.tail = done.catch(() => undefined);
    return done;
  }

  async close(): Promise<void> {
    await this.tail;
    await this.handle.close();
  }

  private async flush(): Promise<void> {
    this.scheduled = false;
    const batch = this.waiting;
    this.waiting = [];
    try {
      if (this.torn) await this.handle.truncate(this.size);
      this.torn = true;
      const bytes = Buffer.from(batch.map((one) => one.line).join(''));
      let written = 0;
      while (written < bytes.length) {
        const { bytesWritten } = await this.handle.write(
          bytes,
          written,
          bytes.length - written,
          this.size + written,
        );
        written += bytesWritten;
      }
      if (batch.some((one) => one.durable)) await this.handle.datasync();
      this.size += bytes.length;
      this.torn = false;
      for (const one of batch) one.resolve();
    } catch (error) {
      for (const one of batch) one.reject(error);
    }
  }

  private async replace(text: string): Promise<void> {
    const temporary = `${this.path}.new`;
    const handle = await open(temporary, 'w', 0o600);
    try {
      await handle.writeFile(text);
      await handle.datasync();
      await rename(temporary, this.path);
    } catch (error) {
      await handle.close();
      // On a full disk it is what stands in the way of everybody.
      await rm(temporary, { force: true });
      throw error;
    }
    const old = this.handle;
    this.handle = handle;
    this.size = Buffer.byteLength(text);
    this.torn = false;
    await old.close();
    await syncFolder(dirname(this.path));
  }
}

/** Makes a rename or a new file in the folder survive a loss of power. */
export async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
