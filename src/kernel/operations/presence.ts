import { DedicatedConnection } from '../database/dedicated-connection.js';
import { type Log } from './engine-options.js';

/** Two-key advisory locks of this class belong to worker processes. */
const CLASS = 7043;

const hashSql = (owner: string): string => `(hashtext(${owner}::text)::bigint & 4294967295)::oid`;

/** SQL: the hashes of all processes that are connected. A process's session lock goes with its connection, within a moment of its death. */
const presentHashesSql = `select objid from pg_locks where locktype = 'advisory' and classid = ${CLASS} and objsubid = 2 and granted
  and database = (select oid from pg_database where datname = current_database())`;

/** SQL: is the process with this id connected? */
export const presentSql = (owner: string): string =>
  `exists (select from (${presentHashesSql}) p where p.objid = ${hashSql(owner)})`;

/** The same for many rows: `with ${presenceCte}` looks once for all of them. */
export const presenceCte = `presence as materialized (${presentHashesSql})`;
export const presentInCteSql = (owner: string): string =>
  `exists (select from presence p where p.objid = ${hashSql(owner)})`;

/** So long after a lost connection came back, others may still be on their way back. */
const REUNION_MS = 3_000;

/**
 * Shows the others that this process lives: a session advisory lock on a connection of its own. When the process dies,
 * PostgreSQL sees the connection end and frees the lock; what the process ran moves on without waiting for its lease.
 */
export class Presence {
  private readonly connection: DedicatedConnection;
  /** On our clock; undefined before the first time. */
  private firstHeld: number | undefined;
  private regained: number | undefined;

  constructor(
    url: string,
    processId: string,
    log: Log,
    private readonly now: () => number,
  ) {
    this.connection = new DedicatedConnection({
      url,
      name: 'domus presence',
      log,
      prepare: async (client) => {
        await client.query(`select pg_advisory_lock($1, hashtext($2::text))`, [CLASS, processId]);
        if (this.firstHeld === undefined) this.firstHeld = now();
        else this.regained = now();
      },
    });
  }

  start(): Promise<void> {
    return this.connection.connect();
  }

  /**
   * May a missing lock be read as a dead process? Not in the first seconds after our own connection came back: what
   * took ours took everybody's, and the others are reconnecting too.
   */
  get canJudge(): boolean {
    return this.connection.held && (this.regained === undefined || this.now() - this.regained > REUNION_MS);
  }

  close(): Promise<void> {
    return this.connection.close();
  }
}
