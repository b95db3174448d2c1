import { once } from 'node:events';
import { createServer } from 'node:http';
import { type AddressInfo } from 'node:net';
import { ApiClient } from './api-client.js';
import { shutDownGuests } from './bring-down.js';

/** A server with one running domain, on which every operation fails: `after` is the domain's state from then on. */
async function aServer(after: 'halted' | 'running') {
  const asked: string[] = [];
  const server = createServer((request, response) => {
    const path = request.url?.split('?')[0] ?? '';
    if (request.method === 'POST') asked.push(request.url ?? '');
    const operation = { id: 'o', state: 'failed', error: { code: 'domain.bad_state', detail: 'no' } };
    const domain = { id: 'd', state: asked.length === 0 ? 'running' : after };
    const list = { items: [domain], nextCursor: null };
    const body = path === '/v1/domains' ? list : path === '/v1/domains/d' ? domain : operation;
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(body));
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const { port } = server.address() as AddressInfo;
  return { client: new ApiClient(`http://127.0.0.1:${port}`, 'token'), asked, close: () => server.close() };
}

describe('down --guests', () => {
  it('takes its turn behind whoever works on a domain, and is content if that ended the guest', async () => {
    const { client, asked, close } = await aServer('halted');
    await expect(shutDownGuests(client)).resolves.toBe(1);
    expect(asked).toEqual(['/v1/domains/d/shutdown?onBusy=wait']);
    close();
  });

  it('ends by force what did not shut down, and says so when even that fails', async () => {
    const { client, asked, close } = await aServer('running');
    await expect(shutDownGuests(client)).rejects.toThrow('no');
    expect(asked.at(-1)).toBe('/v1/domains/d/force-off?onBusy=wait');
    close();
  });
});
