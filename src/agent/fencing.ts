import { callFenced, hostUnreachable } from '../kernel/errors/problems.js';
import { type MarksEntry } from './journal/entry.js';

/** What of a write counts for fencing. */
export interface Numbers {
  readonly call: string;
  readonly operationId: string;
  readonly attempt: number;
  readonly hostEpoch: number;
  readonly domain: { readonly id: string; readonly generation: number } | null;
  /** Absent where the call is about no repository, or its server says no generation. */
  readonly executor?: ExecutorNumber | undefined;
}

interface ExecutorNumber {
  readonly repositoryId: string;
  readonly generation: number;
}

interface DomainMark {
  generation: number;
  at: number;
  forcedOff: { generation: number; operationId: string } | null;
}

/** The calls with a meaning of their own for fencing. */
const START = 'domain.start';
const FORCE_OFF = 'domain.forceOff';
/** Never touches a guest that lives. A failed start leaves an older generation's folder, and that must go as well. */
const FORGET = 'domain.forget';

/**
 * The highest numbers that this host has seen. Whoever comes with a lower one is late: another runner, another
 * generation or a newer enrolment has taken over, and nothing may be done in its name.
 */
export class Fencing {
  private readonly attempts = new Map<string, { attempt: number; at: number }>();
  private readonly domains = new Map<string, DomainMark>();
  private readonly executors = new Map<string, { generation: number; at: number }>();

  private hostEpoch = 1;
  /** The epoch of the certificate that this agent has; absent before it has one. */
  private joined = Number.POSITIVE_INFINITY;

  /** This agent has a certificate for the epoch: up to it, it obeys. */
  join(hostEpoch: number): void {
    this.joined = hostEpoch;
    this.noteEpoch(hostEpoch);
  }

  /** The highest epoch of this host that anybody has named. */
  get epoch(): number {
    return this.hostEpoch;
  }

  noteEpoch(hostEpoch: number): void {
    this.hostEpoch = Math.max(this.hostEpoch, hostEpoch);
  }

  /**
   * Throws `call.fenced` for a late call, and `host.unreachable` for one that comes too early: the host was declared dead
   * under the epoch that this agent has, and must be brought up to date (`whileBehind`) before it does anything else.
   * Changes nothing.
   */
  check(numbers: Numbers, whileBehind = false): void {
    if (numbers.hostEpoch < this.hostEpoch)
      throw callFenced(`The host is at epoch ${this.hostEpoch}, the call at ${numbers.hostEpoch}.`);
    if (numbers.hostEpoch > this.joined && !whileBehind)
      throw hostUnreachable(
        `The agent is at epoch ${this.joined} of its host, and must be brought up to ${numbers.hostEpoch} first.`,
      );
    const attempt = this.attempts.get(numbers.operationId)?.attempt ?? 0;
    if (numbers.attempt < attempt)
      throw callFenced(`The operation is at attempt ${attempt}, the call at ${numbers.attempt}.`);
    if (numbers.executor) this.checkExecutor(numbers.executor);
    if (!numbers.domain) return;
    const mark = this.domains.get(numbers.domain.id);
    if (!mark) return;
    if (numbers.domain.generation < mark.generation && numbers.call !== FORGET)
      throw callFenced(
        `The domain is at generation ${mark.generation}, the call at ${numbers.domain.generation}.`,
      );
    if (
      numbers.call === START &&
      mark.forcedOff &&
      numbers.domain.generation <= mark.forcedOff.generation &&
      numbers.operationId !== mark.forcedOff.operationId
    )
      throw callFenced(`Generation ${mark.forcedOff.generation} of the domain was forced off.`);
  }

  private checkExecutor({ repositoryId, generation }: ExecutorNumber): void {
    const known = this.executors.get(repositoryId)?.generation ?? 0;
    if (generation < known)
      throw callFenced(
        `The executor of storage repository ${repositoryId} is at generation ${known}, the call at ${generation}.`,
      );
  }

  noteAttempt(operationId: string, attempt: number, at: number): void {
    const known = this.attempts.get(operationId)?.attempt ?? 0;
    this.attempts.set(operationId, { attempt: Math.max(known, attempt), at });
  }

  /** Remembers a call that passed. */
  note(numbers: Numbers, at: number): void {
    this.noteEpoch(numbers.hostEpoch);
    this.noteAttempt(numbers.operationId, numbers.attempt, at);
    if (numbers.executor) this.noteExecutor(numbers.executor, at);
    if (!numbers.domain) return;
    const { id, generation } = numbers.domain;
    this.noteGeneration(id, generation, at);
    const mark = this.domains.get(id);
    if (mark && numbers.call === FORCE_OFF) mark.forcedOff = { generation, operationId: numbers.operationId };
  }

  private noteExecutor({ repositoryId, generation }: ExecutorNumber, at: number): void {
    const known = this.executors.get(repositoryId)?.generation ?? 0;
    this.executors.set(repositoryId, { generation: Math.max(known, generation), at });
  }

  /** What the hypervisor itself says counts as well: a journal may be lost, a running guest is there. */
  noteGeneration(domainId: string, generation: number, at: number): void {
    const mark = this.domains.get(domainId);
    if (mark) {
      mark.generation = Math.max(mark.generation, generation);
      mark.at = at;
    } else this.domains.set(domainId, { generation, at, forcedOff: null });
  }

  /** The numbers as one line of the journal, without those last seen before the given times. */
  marks(at: number, oldest: { attempt: number; generation: number }): MarksEntry {
    return {
      kind: 'marks',
      at,
      hostEpoch: this.hostEpoch,
      attempts: [...this.attempts]
        .filter(([, mark]) => mark.at >= oldest.attempt)
        .map(([operationId, mark]) => ({ operationId, ...mark })),
      domains: [...this.domains]
        .filter(([, mark]) => mark.at >= oldest.generation)
        .map(([id, mark]) => ({ id, ...mark })),
      executors: [...this.executors]
        .filter(([, mark]) => mark.at >= oldest.generation)
        .map(([repositoryId, mark]) => ({ repositoryId, ...mark })),
    };
  }

  /** Takes in a line that `marks` made. */
  restore(entry: MarksEntry): void {
    this.noteEpoch(entry.hostEpoch);
    for (const { operationId, attempt, at } of entry.attempts) this.noteAttempt(operationId, attempt, at);
    for (const { at, ...executor } of entry.executors ?? []) this.noteExecutor(executor, at);
    for (const { id, generation, at, forcedOff } of entry.domains) {
      this.noteGeneration(id, generation, at);
      const mark = this.domains.get(id);
      if (mark && forcedOff) mark.forcedOff = forcedOff;
    }
  }
}
