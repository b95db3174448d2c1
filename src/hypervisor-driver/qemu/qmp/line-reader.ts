/**
 * Cuts a byte stream into lines, however the bytes are chunked. `\r\n` and `\n` both end a line; empty lines are
 * skipped. A line longer than the limit is a fault, so that a peer cannot fill our memory.
 */
export class LineReader {
  private parts: Buffer[] = [];
  private held = 0;

  constructor(private readonly limitBytes: number) {}

  push(bytes: Buffer): string[] {
    const lines: string[] = [];
    let from = 0;
    for (let end = bytes.indexOf(10, from); end !== -1; end = bytes.indexOf(10, from)) {
      this.hold(bytes.subarray(from, end));
      from = end + 1;
      const line = Buffer.concat(this.parts).toString('utf8').replace(/\r$/, '');
      this.parts = [];
      this.held = 0;
      if (line.trim() !== '') lines.push(line);
    }
    this.hold(bytes.subarray(from));
    return lines;
  }

  private hold(bytes: Buffer): void {
    this.held += bytes.length;
    if (this.held > this.limitBytes) throw new Error(`A line is longer than ${this.limitBytes} bytes.`);
    if (bytes.length > 0) this.parts.push(bytes);
  }
}
