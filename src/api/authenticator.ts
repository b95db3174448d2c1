import { type Caller } from '../kernel/operations/caller.js';

export type Identity = Pick<Caller, 'actor' | 'role'>;

/** Who a bearer token belongs to. The auth module provides it; the faces ask. */
export abstract class Authenticator {
  /** Null: nobody's, or no longer valid. Rejects when the database cannot be asked. */
  abstract identify(token: string): Promise<Identity | null>;
}
