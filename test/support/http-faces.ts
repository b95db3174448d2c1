import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { buildSchema, type GraphQLSchema } from 'graphql';
import { type z } from 'zod';
import { projectRoot } from '../../src/launcher/project-root.js';
import { operationView } from '../../src/modules/operation/index.js';
import { eventually } from './eventually.js';
import { type BothFaces } from './faces-agree.js';
import { type Method } from './test-server.js';

export type EndedOperation = z.output<typeof operationView>;

/** Both faces of a server that is reached by HTTP, wherever it runs. */
export interface HttpFaces extends BothFaces {
  readonly url: string;
  readonly token: string;
  /** Waits until an operation has ended, or needs attention. */
  ended(operationId: unknown, within?: number): Promise<EndedOperation>;
  /** Starts an operation over REST, which must be accepted, and waits for its end. */
  operate(method: Method, path: string, body?: unknown): Promise<EndedOperation>;
}

const ENDED = ['succeeded', 'failed', 'cancelled', 'needs_attention'];

const parsed = (text: string): unknown => {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return text;
  }
};

export function httpFaces(url: string, token: string): HttpFaces {
  const rest: HttpFaces['rest'] = async (method, path, body, headers = {}) => {
    const reply = await fetch(`${url}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${token}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    });
    const text = await reply.text();
    return { status: reply.status, headers: Object.fromEntries(reply.headers), text, body: parsed(text) };
  };
  const ended: HttpFaces['ended'] = (operationId, within = 30_000) =>
    eventually(
      async () => {
        const { body, status } = await rest('GET', `/v1/operations/${String(operationId)}`);
        const operation = status === 200 && operationView.parse(body);
        return operation && ENDED.includes(operation.state) && operation;
      },
      { within, what: `the end of operation ${String(operationId)}` },
    );
  return {
    url,
    token,
    schema: publishedSchema(),
    rest,
    ended,
    graphql: async (query, variables, headers) => {
      const { status, body } = await rest('POST', '/graphql', { query, variables }, headers);
      return { status, data: null, errors: [], ...(body as object) };
    },
    operate: async (method, path, body) => {
      const accepted = await rest(method, path, body);
      if (accepted.status !== 202) throw new Error(`${method} ${path}: ${accepted.status} ${accepted.text}`);
      return ended((accepted.body as { id: string }).id);
    },
  };
}

/** As it is checked in; that it is the server's own is what CI compares. */
const publishedSchema = (): GraphQLSchema =>
  buildSchema(readFileSync(join(projectRoot, 'openapi/schema.graphql'), 'utf8'));
