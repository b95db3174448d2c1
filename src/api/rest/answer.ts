import { type Readable } from 'node:stream';
import { type ObjectText, type PageText } from '../../kernel/database/reader.js';

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

  /** An operation was accepted; `text` is its JSON. */
  static accepted(operationId: string, text: string): Answer {
    return Answer.json(text, 202, { location: `/v1/operations/${operationId}` });
  }

  /** What the engine promised. */
  static operation(view: { readonly id: string }): Answer {
    return Answer.accepted(view.id, JSON.stringify(view));
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
