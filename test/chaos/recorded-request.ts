import { type Answer, type ApiCaller, AnswerLost } from './api-caller.js';
import { type HistoryWriter } from './history.js';

export interface Asked {
  readonly method: string;
  readonly path: string;
  readonly verb: string;
  readonly target: { readonly type: string; readonly id: string };
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Asks once, and writes down what was asked and what came of it. Undefined when no answer came. */
export async function askRecorded(
  api: ApiCaller,
  history: HistoryWriter,
  client: number,
  asked: Asked,
  key: string | null = null,
): Promise<Answer | undefined> {
  const request = history.nextRequest();
  const { method, path, verb, target, body, headers } = asked;
  const name = method === 'PATCH' && (body as { name?: unknown } | undefined)?.name;
  const wrote = typeof name === 'string' ? { wrote: name } : {};
  history.add({
    kind: 'request',
    at: Date.now(),
    request,
    client,
    method,
    path,
    verb,
    target,
    key,
    ...wrote,
  });
  try {
    const answer = await api.once(method, path, body, {
      ...headers,
      ...(key !== null && method === 'POST' ? { 'idempotency-key': key } : {}),
    });
    const { status, ms } = answer;
    const code = status >= 400 ? String(answer.body['code'] ?? 'without a code') : null;
    const operationId = status === 202 ? String(answer.body['id']) : null;
    const revision = status === 200 && method === 'PATCH' ? Number(answer.body['revision']) : null;
    const retryAfter = retryAfterOf(answer);
    history.add({
      kind: 'answer',
      at: Date.now(),
      request,
      status,
      code,
      operationId,
      revision,
      ms,
      ...(status === 429 ? { retryAfter } : {}),
    });
    return answer;
  } catch (error) {
    if (!(error instanceof AnswerLost)) throw error;
    history.add({ kind: 'lost', at: Date.now(), request, why: error.message });
    return undefined;
  }
}

/** In seconds; null when the answer does not say. */
export function retryAfterOf({ headers }: Answer): number | null {
  const said = headers['retry-after'];
  return typeof said === 'string' && /^\d+$/.test(said) ? Number(said) : null;
}
