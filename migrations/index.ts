import { FirstTables20261123021950 } from './20261123021950-first-tables.js';

/** In the order in which they run. A merged migration is frozen: what was wrong in it is mended by the next one. */
export const migrations = [FirstTables20261123021950];
