import { checkBounds } from './check-bounds.js';
import { checkBudgets } from './check-budgets.js';
import { checkClients } from './check-clients.js';
import { checkConvergence } from './check-convergence.js';
import { checkGuests } from './check-guests.js';
import { checkIdentity } from './check-identity.js';
import { checkInventory } from './check-inventory.js';
import { checkJournals } from './check-journals.js';
import { checkLog } from './check-log.js';
import { checkOperations } from './check-operations.js';
import { type History } from './history.js';

/** The promises, by the numbers under which the README lists them. */
export type Invariant =
  | 'I1 one host'
  | 'I2 nothing lost'
  | 'I3 nothing doubled'
  | 'I4 nothing left'
  | 'I5 inventory is true'
  | 'I6 agents touch no guest'
  | 'I7 late calls do nothing'
  | 'I8 nothing interleaves'
  | 'I9 no write lost'
  | 'I10 events whole'
  | 'I11 time is bounded'
  | 'I12 budgets hold'
  | 'I13 changes are on record'
  | 'I14 clear answers';

export interface Violation {
  readonly invariant: Invariant;
  readonly what: string;
  /** The piece of history that shows it. */
  readonly evidence: readonly unknown[];
}

/** What stands until the inventory has heard of what hosts have; the rest stays as it is. */
export const isOfInventory = ({ invariant, what }: Violation): boolean =>
  invariant === 'I5 inventory is true' || what.startsWith('a host has a guest');

/** Judges what was seen. Pure: the same history gives the same verdict, wherever it came from. */
export const checkHistory = (history: History): Violation[] => [
  ...checkGuests(history),
  ...checkIdentity(history),
  ...checkJournals(history),
  ...checkOperations(history),
  ...checkInventory(history),
  ...checkConvergence(history),
  ...checkBounds(history),
  ...checkBudgets(history),
  ...checkLog(history),
  ...checkClients(history),
];
