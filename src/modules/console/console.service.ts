import { Injectable } from '@nestjs/common';
import { DataSource, type EntityManager } from 'typeorm';
import { domainBadState, hostDomainNotFound, readConsoleLog } from '../../agent-contract/index.js';
import { HostLink } from '../../host-link/host-link.js';
import { refusalOf, type Refusal } from '../../kernel/database/reason.js';
import { isProblem, type ProblemError } from '../../kernel/errors/problem.js';
import { hostUnreachable } from '../../kernel/errors/problems.js';
import { ShortWrites } from '../../kernel/operations/short-writes.js';
import { type Terms, type Told } from '../../kernel/operations/terms.js';
import { newId } from '../../kernel/schema/values.js';
import { consoleNotFound } from './console.errors.js';
import { consoleReasons, talkative } from './console.reasons.js';
import { type ConsolePlace, findConsole, insertSession } from './console.rows.js';
import { type ConsoleMode, consoleProtocol, type ConsoleSession } from './console.schema.js';
import { hashOf, newSessionToken } from './session-token.js';

const refused = (
  { domainName, state }: Pick<ConsolePlace, 'domainName' | 'state'>,
  refusal: Refusal | null,
): ProblemError => {
  if (refusal?.problem.code === hostUnreachable.code)
    return hostUnreachable(`The host of ${domainName} does not answer.`, refusal);
  const wanted = talkative.join(' or ');
  return domainBadState(`${domainName} is ${state}; a console session needs ${wanted}.`, refusal ?? {});
};

@Injectable()
export class ConsoleService {
  constructor(
    private readonly source: DataSource,
    private readonly writes: ShortWrites,
    private readonly links: HostLink,
  ) {}

  /** The last lines of the console's log. Empty for a domain that never ran, or whose host has forgotten it. */
  async log(consoleId: string, tail: number): Promise<string> {
    const place = await required(this.source.manager, consoleId);
    const hostId = place.hostId ?? place.lastHostId;
    if (hostId === null) return '';
    try {
      const { text } = await this.links.call(hostId, readConsoleLog, {
        domainId: place.domainId,
        consoleId,
        tail,
      });
      return text;
    } catch (error) {
      // Between being started for the first time and running, and once its host has forgotten it.
      if (isProblem(error, hostDomainNotFound) && !talkative.includes(place.state)) return '';
      throw error;
    }
  }

  /** Gives a right to connect once. `urlOf` makes the address under which this caller reaches the server. */
  createSession(
    consoleId: string,
    mode: ConsoleMode,
    terms: Terms,
    urlOf: (path: string) => string,
  ): Promise<Told<ConsoleSession>> {
    const { actor } = terms.caller;
    const id = newId();
    const work = async (tx: EntityManager): Promise<ConsoleSession> => {
      const { hostId, ...place } = await required(tx, consoleId);
      const refusal = await refusalOf(tx, 'console', consoleId, consoleReasons.createSession);
      if (refusal || hostId === null) throw refused(place, refusal);
      const token = newSessionToken();
      const expiresAt = await insertSession(tx, {
        id,
        console: { ...place, hostId },
        mode,
        actor,
        tokenHash: hashOf(token),
      });
      return { id, url: urlOf(sessionPath(consoleId, id)), token, protocols: [consoleProtocol], expiresAt };
    };
    const target = { type: 'console', id: consoleId };
    return this.writes.secret(
      { kind: 'console.create_session', target, asked: [consoleId, mode], work },
      terms,
    );
  }
}

async function required(entities: EntityManager, id: string): Promise<ConsolePlace> {
  const place = await findConsole(entities, id);
  if (!place) throw consoleNotFound(`There is no console ${id}.`);
  return place;
}

/** Where a client connects. */
export const sessionPath = (consoleId: string, sessionId: string): string =>
  `/v1/consoles/${consoleId}/sessions/${sessionId}`;
