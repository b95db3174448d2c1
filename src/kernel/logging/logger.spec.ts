import { createLogger } from './logger.js';

function logged(write: (log: ReturnType<typeof createLogger>) => void): string {
  let text = '';
  write(createLogger({ name: 'test', level: 'info' }, { write: (line: string) => void (text += line) }));
  return text;
}

describe('log lines', () => {
  it.each([
    ['a field named like a secret', { token: 'canary-7f3a' }],
    ['such a field one level down', { request: { authorization: 'canary-7f3a' } }],
    ['an enrolment token in an error', { err: new Error(`bad: domus1.${'a'.repeat(43)}.canary-7f3a`) }],
    ['a bearer token in a text', { header: 'Bearer canary-7f3a' }],
    ['a password in a URL', { url: 'postgres://domus:canary-7f3a@db/domus' }],
    [
      'a private key in a text',
      { text: '-----BEGIN PRIVATE KEY-----\ncanary-7f3a\n-----END PRIVATE KEY-----\n' },
    ],
  ])('never hold %s', (_, fields) => {
    const line = logged((log) => log.info(fields, 'something'));
    expect(line).toContain('something');
    expect(line).not.toContain('canary-7f3a');
    expect(() => JSON.parse(line) as unknown).not.toThrow();
  });

  it('keep what is no secret', () => {
    expect(logged((log) => log.info({ hostId: 'h-1' }, 'enrolled'))).toContain('"hostId":"h-1"');
  });
});
