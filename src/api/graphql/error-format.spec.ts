import { buildSchema, GraphQLError, graphqlSync } from 'graphql';
import { pino } from 'pino';
import { requestInvalid } from '../../kernel/errors/problems.js';
import { rateLimited } from '../../kernel/operations/budgets.js';
import { makeErrorFormatter, subscriptionError } from './error-format.js';

const logged = () => {
  const lines: Record<string, unknown>[] = [];
  const write = (line: string) => void lines.push(JSON.parse(line) as Record<string, unknown>);
  return { lines, log: pino({ level: 'info' }, { write }) };
};

const asked = { reply: { request: { id: 'trace' } } };
const run = (source: string, answer: () => unknown) =>
  graphqlSync({
    schema: buildSchema('type Query { a: Int! b(n: Int): Int }'),
    source,
    rootValue: { a: answer, b: answer },
  });
const broken = (): never => {
  throw new Error('relation "secret" does not exist');
};

describe('an error in GraphQL', () => {
  it('that a resolver declared is answered as its problem, with status 200, and is no log line', () => {
    const { lines, log } = logged();
    const result = run('{ a }', () => {
      throw requestInvalid('No.', { errors: [{ path: 'x', message: 'bad' }] });
    });
    const { statusCode, response } = makeErrorFormatter(log)(
      { ...result, errors: result.errors ?? [] },
      asked,
    );
    expect(statusCode).toBe(200);
    expect(response.errors).toMatchObject([
      {
        message: 'No.',
        path: ['a'],
        extensions: { code: 'request.invalid', status: 422, traceId: 'trace', errors: [{ path: 'x' }] },
      },
    ]);
    expect(lines).toEqual([]);
  });

  it('says when to ask again, as the header does in REST, also in a subscription', () => {
    const { log } = logged();
    const refusal = rateLimited('Too many.', { retryAfterSeconds: 7 });
    const result = run('{ a }', () => {
      throw refusal;
    });
    const { response } = makeErrorFormatter(log)({ ...result, errors: result.errors ?? [] }, asked);
    expect(response.errors[0]?.extensions).toMatchObject({ code: 'rate.limited', retryAfterSeconds: 7 });
    expect(subscriptionError(log, refusal, 'trace').extensions).toMatchObject({ retryAfterSeconds: 7 });
    expect(subscriptionError(log, requestInvalid('No.'), 'trace').extensions).not.toHaveProperty(
      'retryAfterSeconds',
    );
  });

  it('that nobody expected is told to nobody and logged once', () => {
    const { lines, log } = logged();
    const result = run('{ a }', broken);
    const { response } = makeErrorFormatter(log)({ ...result, errors: result.errors ?? [] }, asked);
    expect(response.errors).toMatchObject([{ extensions: { code: 'internal.error' } }]);
    expect(JSON.stringify(response)).not.toContain('secret');
    expect(lines).toMatchObject([
      { level: 50, traceId: 'trace', field: 'a', err: { message: 'relation "secret" does not exist' } },
    ]);
  });

  it('that came of our answer and not of the question is internal', () => {
    const { log } = logged();
    const result = run('{ a }', () => null);
    const { response } = makeErrorFormatter(log)({ ...result, errors: result.errors ?? [] }, asked);
    expect(response.errors).toMatchObject([{ extensions: { code: 'internal.error' } }]);
  });

  it('that refuses the whole question has its status', () => {
    const { log } = logged();
    const result = run('{ nonsense }', () => 1);
    const { statusCode, response } = makeErrorFormatter(log)(
      { ...result, errors: result.errors ?? [] },
      asked,
    );
    expect(statusCode).toBe(422);
    expect(response.errors).toMatchObject([
      { extensions: { code: 'request.invalid', errors: [{ path: 'query:1:3' }] } },
    ]);
  });

  it('in a subscription is the same object, and as silent about what nobody expected', () => {
    const { lines, log } = logged();
    const refused = subscriptionError(log, requestInvalid('No.'), 'trace');
    expect(refused.toJSON()).toMatchObject({
      message: 'No.',
      extensions: { code: 'request.invalid', traceId: 'trace' },
    });
    const wrapped = new GraphQLError('No.', { originalError: requestInvalid('No.'), path: ['events'] });
    expect(subscriptionError(log, wrapped, 'trace').extensions).toMatchObject({ code: 'request.invalid' });
    expect(lines).toEqual([]);
    const unexpected = subscriptionError(log, new Error('relation "secret" does not exist'), 'trace');
    expect(JSON.stringify(unexpected)).not.toContain('secret');
    expect(lines).toMatchObject([{ level: 50, traceId: 'trace' }]);
  });
});
