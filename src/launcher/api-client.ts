import { setTimeout as delay } from 'node:timers/promises';
import { exitCode, failed, LauncherError } from './launcher-error.js';

/** What the server says about itself once it is ready: DIR/run/server.json. */
export interface ServerFile {
  readonly pid: number;
  readonly url: string;
  readonly metricsUrl?: string;
  readonly enrolUrl?: string;
}

export interface Operation {
  readonly id: string;
  readonly state: string;
  readonly target: { readonly type: string; readonly id: string };
  readonly error: { readonly code: string; readonly detail: string } | null;
}

const ended = new Set(['succeeded', 'failed', 'cancelled', 'needs_attention']);

/** The REST face, as any other client sees it: the launcher knows no shortcut into the server. */
export class ApiClient {
  constructor(
    readonly url: string,
    private readonly token: string,
  ) {}

  get<T>(path: string): Promise<T> {
    return this.call<T>('GET', path);
  }

  post<T>(path: string, body: unknown = {}): Promise<T> {
    return this.call<T>('POST', path, body);
  }

  /** Every item of a list, page after page. */
  async list<T>(path: string): Promise<T[]> {
    const items: T[] = [];
    let cursor: string | null = null;
    do {
      const query = new URLSearchParams({ limit: '1000', ...(cursor === null ? {} : { cursor }) });
      const page: { items: T[]; nextCursor: string | null } = await this.get(
        `${path}${path.includes('?') ? '&' : '?'}${query}`,
      );
      items.push(...page.items);
      cursor = page.nextCursor;
    } while (cursor !== null);
    return items;
  }

  async text(path: string): Promise<string> {
    return (await this.fetch('GET', path)).text();
  }

  /** Starts a piece of work and waits for its end; any end but success is an error that says why. */
  async complete(path: string, body: unknown = {}, deadlineMs = 60_000): Promise<Operation> {
    return this.settled(await this.post<Operation>(path, body), deadlineMs);
  }

  async settled(started: Operation, deadlineMs: number): Promise<Operation> {
    const end = performance.now() + deadlineMs;
    for (let operation = started; ; operation = await this.get<Operation>(`/v1/operations/${started.id}`)) {
      if (operation.state === 'succeeded') return operation;
      if (ended.has(operation.state)) {
        throw failed(
          `Operation ${operation.id} ${operation.state}: ${operation.error?.detail ?? 'no reason given'}`,
        );
      }
      if (performance.now() >= end) {
        throw failed(`Operation ${operation.id} is still ${operation.state} after ${deadlineMs / 1_000} s.`);
      }
      await delay(50);
    }
  }

  private async call<T>(method: string, path: string, body?: unknown): Promise<T> {
    return (await (await this.fetch(method, path, body)).json()) as T;
  }

  private async fetch(method: string, path: string, body?: unknown): Promise<Response> {
    const response = await fetch(`${this.url}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${this.token}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: AbortSignal.timeout(30_000),
    }).catch((error: unknown) => {
      throw failed(`${this.url} does not answer.`, { cause: error });
    });
    if (response.ok) return response;
    const problem = (await response.json().catch(() => ({}))) as { code?: string; detail?: string };
    throw new Refused(
      response.status,
      problem.code ?? `http.${response.status}`,
      `${method} ${path}`,
      problem.detail,
    );
  }
}

/** The server said no, and why. */
export class Refused extends LauncherError {
  constructor(
    readonly status: number,
    readonly problem: string,
    call: string,
    detail = 'no reason given',
  ) {
    super(exitCode.failed, `${call} was refused with ${status} ${problem}: ${detail}`);
  }
}
