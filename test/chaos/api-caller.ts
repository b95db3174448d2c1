import { Agent, request } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Record<string, unknown>;
  readonly ms: number;
}

/** No answer came: nobody can say whether the request was taken. */
export class AnswerLost extends Error {
  override readonly name = 'AnswerLost';
}

const TIMEOUT_MS = 30_000;

/** A client of several servers, any of which will do. It never repeats by itself what may have been taken. */
export class ApiCaller {
  private readonly ports: number[] = [];
  private readonly agent = new Agent({ keepAlive: true, maxSockets: 64 });
  private turn = 0;

  constructor(readonly token: string) {}

  add(port: number): void {
    this.ports.push(port);
  }

  /** Another one at the same servers, with connections of its own. */
  as(token: string): ApiCaller {
    const other = new ApiCaller(token);
    other.ports.push(...this.ports);
    return other;
  }

  get urls(): string[] {
    return this.ports.map((port) => `http://127.0.0.1:${port}`);
  }

  /** One request to the next server in turn, or to `at`. Rejects with `AnswerLost` when no answer came. */
  async once(
    method: string,
    path: string,
    body?: unknown,
    headers: Readonly<Record<string, string>> = {},
    options: { at?: number; timeoutMs?: number } = {},
  ): Promise<Answer> {
    const port = this.ports[(options.at ?? this.turn++) % this.ports.length];
    const text = body === undefined ? undefined : JSON.stringify(body);
    const began = performance.now();
    return new Promise((resolve, reject) => {
      const lost = (cause: unknown) =>
        reject(new AnswerLost(`${method} ${path}: ${String((cause as Error).message ?? cause)}`, { cause }));
      const sent = request(
        {
          host: '127.0.0.1',
          port,
          method,
          path,
          agent: this.agent,
          headers: {
            authorization: `Bearer ${this.token}`,
            ...(text === undefined
              ? {}
              : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }),
            ...headers,
          },
        },
        (response) => {
          const pieces: Buffer[] = [];
          response.on('data', (piece: Buffer) => pieces.push(piece));
          response.on('error', lost);
          response.on('aborted', () => lost('cut off'));
          response.on('end', () => {
            const content = Buffer.concat(pieces).toString();
            try {
              resolve({
                status: response.statusCode ?? 0,
                headers: response.headers,
                body: (content.startsWith('{') ? JSON.parse(content) : { text: content }) as Answer['body'],
                ms: performance.now() - began,
              });
            } catch (error) {
              lost(error);
            }
          });
        },
      );
      sent.setTimeout(options.timeoutMs ?? TIMEOUT_MS, () => sent.destroy(new Error('timed out')));
      sent.on('error', lost);
      sent.end(text);
    });
  }

  /**
   * Asks until there is an answer that is no 5xx, and fails on a refusal. Only for what may be done twice (reads, and
   * writes while nothing is hurt).
   */
  async ask<T>(method: string, path: string, body?: unknown, within = 60_000): Promise<T> {
    const until = Date.now() + within;
    for (;;) {
      const answer = await this.once(method, path, body).catch((error: unknown) => {
        if (!(error instanceof AnswerLost) || Date.now() > until) throw error;
        return undefined;
      });
      if (answer && answer.status < 300) return answer.body as T;
      if (answer && (answer.status < 500 || Date.now() > until))
        throw new Error(`${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
      await delay(50);
    }
  }

  /** Waits until an operation has ended, or needs attention. */
  async ended(operationId: string, within = 60_000): Promise<Answer['body'] & { state: string }> {
    const until = Date.now() + within;
    for (;;) {
      const path = `/v1/operations/${operationId}`;
      const operation = await this.ask<{ state: string }>('GET', path, undefined, until - Date.now());
      if (['succeeded', 'failed', 'cancelled', 'needs_attention'].includes(operation.state)) return operation;
      if (Date.now() > until)
        throw new Error(
          `operation ${operationId} did not end within ${within} ms: ${JSON.stringify(operation)}`,
        );
      await delay(20);
    }
  }

  close(): void {
    this.agent.destroy();
  }
}
