import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import {
  type EnrolmentToken,
  formatEnrolmentToken,
  parseEnrolmentToken,
} from '../../agent-contract/index.js';

/**
 * The one-time tokens that this process may enrol hosts with, one a line. A used one is taken out of the file, and
 * the file is removed with its last one: what is no longer good must not lie about.
 */
export class TokenFile {
  private change: Promise<void> = Promise.resolve();

  private constructor(
    private readonly path: string,
    private readonly free: EnrolmentToken[],
    private readonly unspent: Set<EnrolmentToken>,
  ) {}

  /** A file that is not there holds no tokens: it was removed with its last one. */
  static async read(path: string): Promise<TokenFile> {
    const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return '';
      throw error;
    });
    const lines = text.split('\n').filter((line) => line.trim() !== '');
    const tokens = lines.map((line) => {
      const token = parseEnrolmentToken(line);
      if (!token) throw new Error('The enrolment token file holds a line that is no enrolment token.');
      return token;
    });
    return new TokenFile(path, [...tokens], new Set(tokens));
  }

  /** One that no other host of this process has been given; null when there is none left. */
  take(): EnrolmentToken | null {
    return this.free.shift() ?? null;
  }

  spent(token: EnrolmentToken): Promise<void> {
    this.unspent.delete(token);
    this.change = this.change.then(() => this.write());
    return this.change;
  }

  private async write(): Promise<void> {
    if (this.unspent.size === 0) {
      await rm(this.path, { force: true });
      return;
    }
    const draft = `${this.path}.new`;
    const text = [...this.unspent].map((token) => `${formatEnrolmentToken(token)}\n`).join('');
    await writeFile(draft, text, { mode: 0o600 });
    await rename(draft, this.path);
  }
}
