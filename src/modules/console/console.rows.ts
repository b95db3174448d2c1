import { type EntityManager } from 'typeorm';
import { firstRowOf, rowsOf } from '../../kernel/database/sql.js';
import { type ConsoleMode } from './console.schema.js';
import { SESSION_SECONDS } from './session-token.js';

/** Where a console's domain is, and how it does. */
export interface ConsolePlace {
  readonly id: string;
  readonly domainId: string;
  readonly domainName: string;
  readonly state: string;
  readonly generation: number;
  /** Where it runs. */
  readonly hostId: string | null;
  /** Where it ran last: its log lies there while it runs nowhere. */
  readonly lastHostId: string | null;
}

const PLACE = `c.id, d.id as "domainId", d.name as "domainName", d.state, d.generation, d.host_id as "hostId",
  d.last_host_id as "lastHostId"`;

export const findConsole = (tx: EntityManager, id: string): Promise<ConsolePlace | undefined> =>
  firstRowOf<ConsolePlace>(
    tx,
    `select ${PLACE} from console c join domain d on d.id = c.domain_id where c.id = $1`,
    [id],
  );

export interface NewSession {
  readonly id: string;
  readonly console: ConsolePlace & { readonly hostId: string };
  readonly mode: ConsoleMode;
  readonly actor: string;
  readonly tokenHash: Buffer;
}

/** Writes the session. Answers with when the token runs out. */
export async function insertSession(tx: EntityManager, session: NewSession): Promise<string> {
  const row = await firstRowOf<{ expiresAt: Date }>(
    tx,
    `insert into console_session (id, console_id, host_id, generation, mode, actor, token_hash, expires_at)
     values ($1, $2, $3, $4, $5, $6, $7, now() + make_interval(secs => $8)) returning expires_at as "expiresAt"`,
    [
      session.id,
      session.console.id,
      session.console.hostId,
      session.console.generation,
      session.mode,
      session.actor,
      session.tokenHash,
      SESSION_SECONDS,
    ],
  );
  if (!row) throw new Error('The console session was not written.');
  return row.expiresAt.toISOString();
}

export interface ConnectedSession {
  readonly id: string;
  readonly consoleId: string;
  readonly domainId: string;
  readonly hostId: string;
  readonly generation: number;
  readonly mode: ConsoleMode;
  readonly actor: string;
  /** False when the guest that the session was for runs there no more. */
  readonly current: boolean;
}

/**
 * Uses the token up: of any number that try at once, on any replica, one gets the session. Undefined for a token that
 * is unknown, too old, used, or another session's.
 */
export const connectSession = (
  tx: EntityManager,
  session: { consoleId: string; id: string; tokenHash: Buffer },
): Promise<ConnectedSession | undefined> =>
  firstRowOf<ConnectedSession>(
    tx,
    `update console_session s set connected_at = now()
       from console c join domain d on d.id = c.domain_id
      where s.id = $1 and s.console_id = $2 and s.token_hash = $3 and s.connected_at is null and s.expires_at > now()
        and c.id = s.console_id
      returning s.id, s.console_id as "consoleId", d.id as "domainId", s.host_id as "hostId", s.generation, s.mode,
        s.actor, d.generation = s.generation and d.host_id is not distinct from s.host_id as current`,
    [session.id, session.consoleId, session.tokenHash],
  );

export async function endSession(tx: EntityManager, id: string, closeCode: number): Promise<void> {
  await rowsOf(
    tx,
    `update console_session set ended_at = now(), close_code = $2 where id = $1 and ended_at is null`,
    [id, closeCode],
  );
}
