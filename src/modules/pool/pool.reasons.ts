import { type VerbReasons } from '../../kernel/database/reason.js';
import { type PoolAction } from './pool.schema.js';

/** Nothing stands in the way of what can be done with a pool today. */
export const poolReasons: VerbReasons<PoolAction> = { update: [], createEnrolmentToken: [] };
