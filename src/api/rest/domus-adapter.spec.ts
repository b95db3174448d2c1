import { pino } from 'pino';
import { DomusAdapter } from './domus-adapter.js';

const forwarded = {
  'x-forwarded-proto': 'https',
  'x-forwarded-for': '203.0.113.7',
  host: 'domus.example.org',
};

async function cameFrom(trusted: string[], remoteAddress: string): Promise<unknown> {
  const fastify = new DomusAdapter(pino({ level: 'silent' }), {}, trusted).getInstance();
  fastify.get('/', (request) => ({ protocol: request.protocol, ip: request.ip, host: request.host }));
  return (await fastify.inject({ url: '/', headers: forwarded, remoteAddress })).json();
}

describe('the headers of a proxy', () => {
  it('are believed when the proxy is a trusted one', async () => {
    const seen = { protocol: 'https', ip: '203.0.113.7', host: 'domus.example.org' };
    await expect(cameFrom(['127.0.0.0/8'], '127.0.0.1')).resolves.toEqual(seen);
  });

  it("are nobody's word otherwise", async () => {
    const seen = { protocol: 'http', ip: '198.51.100.1', host: 'domus.example.org' };
    await expect(cameFrom(['127.0.0.0/8'], '198.51.100.1')).resolves.toEqual(seen);
    await expect(cameFrom([], '198.51.100.1')).resolves.toEqual(seen);
  });
});
