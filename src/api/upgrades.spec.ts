import { isSameOrigin, webSocketUrl } from './upgrades.js';

const from = (origin: string | undefined, host = '127.0.0.1:8080'): boolean =>
  isSameOrigin({ headers: { host, ...(origin === undefined ? {} : { origin }) } });

describe('the origin of a WebSocket', () => {
  it('may be absent, or the very one of the server, behind a TLS proxy too', () => {
    expect(from(undefined)).toBe(true);
    expect(from('http://127.0.0.1:8080')).toBe(true);
    expect(from('https://domus.example', 'domus.example')).toBe(true);
    expect(from('https://domus.example', 'domus.example:443')).toBe(true);
    expect(from('http://[::1]:8080', '[::1]:8080')).toBe(true);
  });

  it.each([
    'http://127.0.0.1:8081',
    'http://localhost:8080',
    'http://127.0.0.1',
    'http://evil.example',
    'http://127.0.0.1:8080.evil.example',
    'http://127.0.0.1:8080@evil.example',
    'http://evil.example/127.0.0.1:8080',
    'http://127.0.0.1:8080/',
    'http://127.0.0.1:8080, http://evil.example',
    'ftp://127.0.0.1:8080',
    'file://',
    'null',
    '',
  ])('is refused when it is %j', (origin) => expect(from(origin)).toBe(false));

  it('is refused when the request names no host, or none that can be read', () => {
    expect(isSameOrigin({ headers: { origin: 'http://a' } })).toBe(false);
    expect(from('http://a', 'a b')).toBe(false);
  });
});

it('a WebSocket address follows the way the caller came', () => {
  expect(webSocketUrl({ protocol: 'http', host: '127.0.0.1:8080' }, '/x')).toBe('ws://127.0.0.1:8080/x');
  expect(webSocketUrl({ protocol: 'https', host: 'domus.example' }, '/x')).toBe('wss://domus.example/x');
});
