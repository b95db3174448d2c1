import { hashOf, newSessionToken, offeredToken } from './session-token.js';

describe('a session token', () => {
  it('has 256 random bits and can be offered as a subprotocol', () => {
    const token = newSessionToken();
    expect(Buffer.from(token, 'base64url')).toHaveLength(32);
    expect(newSessionToken()).not.toBe(token);
    expect(offeredToken(`domus.console.v1, token.${token}`)).toBe(token);
    expect(offeredToken(`token.${token},domus.console.v1`)).toBe(token);
  });

  it('is kept as its SHA-256 alone', () => {
    expect(hashOf('a').toString('hex')).toBe(
      'ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb',
    );
  });

  it.each([undefined, '', 'domus.console.v1', 'token.', 'token.short', `token.${'a'.repeat(44)}`])(
    'is not found in %j',
    (header) => expect(offeredToken(header)).toBeNull(),
  );

  it('is refused when two are offered, so that nobody can try many in one go', () => {
    const [one, two] = [newSessionToken(), newSessionToken()];
    expect(offeredToken(`domus.console.v1, token.${one}, token.${two}`)).toBeNull();
  });
});
