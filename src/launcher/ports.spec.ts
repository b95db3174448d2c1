import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { chooseListeners } from './ports.js';

const config = { metricsListen: undefined, enrolListen: undefined };

describe('where the server listens', () => {
  const busy = createServer();
  let port: number;
  beforeAll(async () => {
    await once(busy.listen(0, '127.0.0.1'), 'listening');
    port = (busy.address() as AddressInfo).port;
  });
  afterAll(() => busy.close());

  it('says in one sentence which port is taken, and how to name another', async () => {
    await expect(chooseListeners(port, config, undefined)).rejects.toThrow(
      `127.0.0.1:${port} is taken by another program: name another with --port`,
    );
  });

  it('takes any free port with --port 0, but the same again where it can', async () => {
    const taken = `http://127.0.0.1:${port}`;
    busy.unref();
    const free = await freePort();
    const listeners = await chooseListeners(0, config, {
      pid: 1,
      url: taken,
      enrolUrl: `https://127.0.0.1:${free}`,
    });
    expect(listeners).toEqual({
      api: '127.0.0.1:0',
      metrics: '127.0.0.1:0',
      enrol: `127.0.0.1:${free}`,
    });
  });
});

async function freePort(): Promise<number> {
  const probe = createServer();
  await once(probe.listen(0, '127.0.0.1'), 'listening');
  const { port } = probe.address() as AddressInfo;
  probe.close();
  await once(probe, 'close');
  return port;
}
