import { collectDefaultMetrics, Registry } from 'prom-client';

/** What this process counts. A module that counts something makes its metric with `registers: [registry]`. */
export function createRegistry(): Registry {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry, prefix: 'domus_' });
  return registry;
}
