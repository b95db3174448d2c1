import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { type AddressInfo } from 'node:net';
import { type Registry } from 'prom-client';

/** `/metrics` on a listener of its own: what it says is for the operator's scraper and not for the API's callers. */
export class MetricsListener {
  private constructor(
    private readonly server: Server,
    readonly port: number,
  ) {}

  static async open(registry: Registry, address: { host: string; port: number }): Promise<MetricsListener> {
    const server = createServer((request, response) => {
      if (request.method !== 'GET' || request.url !== '/metrics') {
        response.writeHead(404).end();
        return;
      }
      registry.metrics().then(
        (text) => response.writeHead(200, { 'content-type': registry.contentType }).end(text),
        () => response.writeHead(500).end(),
      );
    });
    server.listen(address.port, address.host);
    await once(server, 'listening');
    return new MetricsListener(server, (server.address() as AddressInfo).port);
  }

  async close(): Promise<void> {
    this.server.closeAllConnections();
    this.server.close();
    await once(this.server, 'close');
  }
}
