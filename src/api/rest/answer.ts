import { type Readable } from 'node:stream';
import { hasSettled, type OperationView } from '../../kernel/operations/operation-view.js';
import { type Started, type Terms, type Told, type Written } from '../../kernel/operations/terms.js';
import { type ObjectText, type PageText } from '../../kernel/database/reader.js';

const REPLAYED = { 'idempotency-replayed': 'true' };

/** An answer whose body is text already. `DomusAdapter` sends it as it is; anything else that a handler returns is made JSON. */
export class Answer {
  private constructor(
    readonly status: number,
    readonly headers: Readonly<Record<string, string>>,
    readonly body: string | Readable,
  ) {}

  static json(text: string, status = 200, headers: Readonly<Record<string, string>> = {}): Answer {
    return new Answer(status, { 'content-type': 'application/json; charset=utf-8', ...headers }, text);
  }

  static page(page: PageText): Answer {
    const cursor = page.more ? JSON.stringify(page.lastCursor) : 'null';
    return Answer.json(`{"items":[${page.items}],"nextCursor":${cursor}}`);
  }

  /** One object, with its ETag where the noun has revisions. */
  static object(object: ObjectText, status = 200, headers: Readonly<Record<string, string>> = {}): Answer {
    const etag: Record<string, string> = object.revision === null ? {} : { etag: `"${object.revision}"` };
    return Answer.json(object.text, status, { ...etag, ...headers });
  }

  static created(path: string, object: ObjectText): Answer {
    return Answer.object(object, 201, { location: path });
  }

  /** What became of a request for an operation: 202 with it, 200 once it has ended, or 200 with the plan. */
  static async started(begun: Promise<Started>, { waitSeconds }: Terms): Promise<Answer> {
    const started = await begun;
    if ('plan' in started) return Answer.json(JSON.stringify(started.plan));
    const { operation, replayed, ended } = started;
    return Answer.json(JSON.stringify(operation), ended ? 200 : 202, {
      location: `/v1/operations/${operation.id}`,
      ...(waitSeconds === null ? {} : { 'preference-applied': `wait=${waitSeconds}` }),
      ...(replayed ? REPLAYED : {}),
    });
  }

  /** What became of a short write: `now` makes its answer, unless it is a plan, or kept under a key: then all get the same. */
  static async written(writing: Promise<Written>, now: (id: string) => Promise<Answer>): Promise<Answer> {
    const written = await writing;
    if ('plan' in written) return Answer.json(JSON.stringify(written.plan));
    const { kept, replayed } = written;
    if (!kept || kept.body === null) return now(written.id);
    return Answer.json(kept.body, kept.status, { ...kept.headers, ...(replayed ? REPLAYED : {}) });
  }

  /** The same for what was done to an operation, where its end was waited for: 200 with it once it has ended, otherwise 202. */
  static async settled(
    writing: Promise<Written>,
    { waitSeconds }: Terms,
    now: (id: string) => Promise<ObjectText>,
  ): Promise<Answer> {
    const written = await writing;
    if ('plan' in written) return Answer.json(JSON.stringify(written.plan));
    const { text } = await now(written.id);
    return Answer.json(text, hasSettled(JSON.parse(text) as OperationView) ? 200 : 202, {
      location: `/v1/operations/${written.id}`,
      'preference-applied': `wait=${waitSeconds ?? 0}`,
      ...(written.replayed ? REPLAYED : {}),
    });
  }

  /** What is told once, and kept by nobody on the way. */
  static async told<R>(telling: Promise<Told<R>>): Promise<Answer> {
    const answer = await telling;
    if ('plan' in answer) return Answer.json(JSON.stringify(answer.plan));
    return Answer.json(JSON.stringify(answer.told), 201, { 'cache-control': 'no-store' });
  }

  /** Sent as it comes and kept by nobody on the way. */
  static stream(contentType: string, body: Readable): Answer {
    const headers = { 'content-type': contentType, 'cache-control': 'no-store', 'x-accel-buffering': 'no' };
    return new Answer(200, headers, body);
  }

  static text(text: string): Answer {
    return new Answer(200, { 'content-type': 'text/plain; charset=utf-8' }, text);
  }
}
