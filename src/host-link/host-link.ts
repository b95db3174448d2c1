import { type Duplex } from 'node:stream';
import {
  type AgentCall,
  type CallInput,
  type CallOutput,
  type Fence,
  type StateFrame,
} from '../agent-contract/index.js';

export interface CallOptions {
  /** Required for a call whose effect is `write`: without it the call is a bug and never leaves the server. */
  fence?: Fence;
  /** Only ever shortens the call's own deadline. */
  deadlineMs?: number;
  /** Stops the waiting, and asks the agent to stop the work. What the agent did until then is done. */
  signal?: AbortSignal;
}

/**
 * The way from the server to the agents; any replica reaches any host. An abstract class, so that it is its own
 * injection token: `constructor(private readonly links: HostLink) {}`.
 */
export abstract class HostLink {
  /**
   * Makes one call on one host and answers with its checked output. Rejects with a `ProblemError`: one that the call
   * declares, `host.unreachable` (no connection, or it was lost while the call was under way: the agent may have
   * acted), `call.timed_out` (likewise), `call.fenced`; with the signal's reason when aborted. A write may be repeated
   * with the same fence operation and step: the agent answers the duplicate from its journal.
   */
  abstract call<C extends AgentCall>(
    hostId: string,
    call: C,
    input: CallInput<C>,
    options?: CallOptions,
  ): Promise<CallOutput<C>>;

  /**
   * A domain's console line as bytes, both ways; what is written in mode `watch` is dropped by the agent. Ends when
   * either side ends; `host.unreachable` and `host.domain_not_found` reject.
   */
  abstract openConsole(
    hostId: string,
    domainId: string,
    consoleId: string,
    mode: 'drive' | 'watch',
  ): Promise<Duplex>;

  /** Dials the host now, if it is not connected: after enrolment, or when somebody waits for it. */
  abstract dial(hostId: string): void;
}

type Snapshot = Extract<StateFrame, { kind: 'snapshot' }>;
type Delta = Extract<StateFrame, { kind: 'delta' }>;

/**
 * Where a host's state stream goes: the modules that keep the inventory. Called for one host in order and one at a
 * time, only on the replica that owns the host's stream; a rejection makes the host link subscribe again, so that
 * nothing is ever missed. Each call must be idempotent: a snapshot may repeat what is known.
 */
export abstract class InventorySink {
  /** The host is connected and this is all of it: domains that are not in the frame are not known there. */
  abstract snapshot(hostId: string, frame: Snapshot): Promise<void>;
  /** All of it once more, though nothing was missed: what differs is put right, and nothing else is written. */
  abstract resync(hostId: string, frame: Snapshot): Promise<void>;
  /** What changed since. An empty one only says that the agent lives. */
  abstract delta(hostId: string, frame: Delta): Promise<void>;
  /** No frame for 10 s: what the host runs is no longer known, and goes on running. */
  abstract lost(hostId: string): Promise<void>;
}

/**
 * What the link learns of a host beside its state. Told at once, on any replica and perhaps many times, and never waited
 * for: the implementation keeps its own failures.
 */
export abstract class HostWatch {
  /** The host was declared dead, and its agent answers with an older epoch: it is back, and must be brought up to date. */
  abstract behind(hostId: string): void;
  /** The agent has refused a call as late. */
  abstract lateCall(hostId: string, refused: LateCall): void;
}

export interface LateCall {
  readonly call: string;
  readonly fence: Fence;
  readonly detail: string;
}
