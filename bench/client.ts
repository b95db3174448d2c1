import { Agent, type IncomingMessage, request } from 'node:http';
import { createInterface } from 'node:readline';

export interface Answer {
  readonly status: number;
  readonly text: string;
}

export interface SeenEvent {
  readonly type: string;
  readonly object: { readonly type: string; readonly id: string };
  readonly changes: Readonly<Record<string, unknown>>;
}

/** A caller as plain as can be, with one connection that is kept: what it costs is not the product's. */
export class Client {
  private readonly agent = new Agent({ keepAlive: true });

  constructor(
    readonly url: string,
    private readonly token: string,
  ) {}

  /** The same caller once more, with a connection of its own. */
  another(): Client {
    return new Client(this.url, this.token);
  }

  async json<T>(method: string, path: string, body?: unknown): Promise<T> {
    const { status, text } = await this.call(method, path, body);
    if (status >= 300) throw new Error(`${method} ${path}: ${status} ${text}`);
    return JSON.parse(text) as T;
  }

  async call(method: string, path: string, body?: unknown): Promise<Answer> {
    const response = await this.open(method, path, body === undefined ? undefined : JSON.stringify(body));
    const chunks: Buffer[] = [];
    for await (const chunk of response) chunks.push(chunk as Buffer);
    return { status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString() };
  }

  /** Calls `seen` for every event from now on, until the returned function is called. */
  async follow(seen: (event: SeenEvent) => void): Promise<() => void> {
    const response = await this.open('GET', '/v1/events', undefined, { accept: 'text/event-stream' });
    if (response.statusCode !== 200) throw new Error(`GET /v1/events: ${response.statusCode}`);
    const lines = createInterface({ input: response });
    lines.on('line', (line) => {
      if (line.startsWith('data:')) seen(JSON.parse(line.slice('data:'.length)) as SeenEvent);
    });
    return () => {
      lines.close();
      response.destroy();
    };
  }

  close(): void {
    this.agent.destroy();
  }

  private open(
    method: string,
    path: string,
    body?: string,
    headers: Record<string, string> = {},
  ): Promise<IncomingMessage> {
    return new Promise((resolve, reject) => {
      const call = request(`${this.url}${path}`, {
        method,
        agent: this.agent,
        headers: {
          authorization: `Bearer ${this.token}`,
          ...(body === undefined
            ? {}
            : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }),
          ...headers,
        },
      });
      call.once('error', reject).once('response', resolve).end(body);
    });
  }
}
