import { type FastifyInstance } from 'fastify';
import { Histogram, type Registry } from 'prom-client';

/** Times every request by its route's pattern, never by its path: ids would make a series each. */
export function installRequestMetrics(fastify: FastifyInstance, registry: Registry): void {
  const duration = new Histogram({
    name: 'domus_http_request_seconds',
    help: 'Time from the request to the end of its answer.',
    labelNames: ['method', 'route', 'status'],
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10],
    registers: [registry],
  });
  fastify.addHook('onResponse', (request, reply, done) => {
    const route = request.routeOptions.url ?? 'none';
    duration.observe({ method: request.method, route, status: reply.statusCode }, reply.elapsedTime / 1_000);
    done();
  });
}
