import { cancelledWays } from './cancelled-ways.js';
import { objectWays, type Way } from './ways.js';

/**
 * Ways that differ in how their operations come to the queue: by the acceptance; by the end of another, as their turn comes;
 * past another; with the agent's work taken back. Everything behind the queue is the same on both, and is swept on PostgreSQL.
 */
const names = [
  'domain.create',
  'domain.start',
  'domain.start+cancelled',
  'domain.pause+waiting',
  'domain.pause+doubted',
  'domain.force_off+overtaking',
  'domain.reboot',
  'volume.create',
];

export const onRedis: readonly Way[] = names.map((name) => {
  const way = [...objectWays, ...cancelledWays].find((one) => one.name === name);
  if (!way) throw new Error(`There is no way ${name}.`);
  return { ...way, name: `${name}@redis` };
});
