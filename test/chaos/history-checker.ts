import { checkClients } from './check-clients.js';
import { checkGuests } from './check-guests.js';
import { checkInventory } from './check-inventory.js';
import { checkOperations } from './check-operations.js';
import { type History } from './history.js';

/** The promises, by the numbers under which the README lists them. */
export type Invariant =
  | 'I1 one host'
  | 'I2 nothing lost'
  | 'I3 nothing doubled'
  | 'I4 nothing left'
  | 'I5 inventory is true'
  | 'I7 late calls do nothing'
  | 'I8 nothing interleaves'
  | 'I9 no write lost'
  | 'I10 events whole'
  | 'I14 clear answers';

export interface Violation {
  readonly invariant: Invariant;
  readonly what: string;
  /** The piece of history that shows it. */
  readonly evidence: readonly unknown[];
}

/** Judges what was seen. Pure: the same history gives the same verdict, wherever it came from. */
export const checkHistory = (history: History): Violation[] => [
  ...checkGuests(history),
  ...checkOperations(history),
  ...checkInventory(history),
  ...checkClients(history),
];
