export interface SentEvent {
  readonly id: string;
  readonly event: string;
  readonly data: {
    readonly id: string;
    readonly type: string;
    readonly object: { readonly type: string; readonly id: string };
    readonly changes: Readonly<Record<string, unknown>>;
    readonly operationId: string | null;
  };
}

/** Follows `GET /v1/events` by SSE until `enough` says so of what has come, then hangs up. */
export async function followEvents(
  server: { url: string; token: string },
  enough: (events: readonly SentEvent[]) => boolean,
  options: { path?: string; headers?: Record<string, string>; within?: number; opened?: () => void } = {},
): Promise<SentEvent[]> {
  const { path = '/v1/events', headers = {}, within = 20_000, opened } = options;
  const hangUp = new AbortController();
  const timer = setTimeout(() => hangUp.abort(new Error(`no such events within ${within} ms`)), within);
  const events: SentEvent[] = [];
  try {
    const answer = await fetch(`${server.url}${path}`, {
      headers: { authorization: `Bearer ${server.token}`, accept: 'text/event-stream', ...headers },
      signal: hangUp.signal,
    });
    if (!answer.ok || !answer.body)
      throw new Error(`${path} answered ${answer.status}: ${await answer.text()}`);
    opened?.();
    let rest = '';
    for await (const piece of answer.body.pipeThrough(new TextDecoderStream())) {
      rest += piece;
      const blocks = rest.split('\n\n');
      rest = blocks.pop() ?? '';
      events.push(...blocks.flatMap(eventOf));
      if (enough(events)) return events;
    }
    throw new Error(`The stream ended after ${events.length} events.`);
  } finally {
    clearTimeout(timer);
    hangUp.abort();
  }
}

/** Comments, which keep the connection alive, are no events. */
function eventOf(block: string): SentEvent[] {
  const fields = new Map(
    block
      .split('\n')
      .filter((line) => !line.startsWith(':'))
      .map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1).trimStart()]),
  );
  const [id, event, data] = ['id', 'event', 'data'].map((name) => fields.get(name));
  return id && event && data ? [{ id, event, data: JSON.parse(data) as SentEvent['data'] }] : [];
}
