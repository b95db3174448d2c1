/** The boundaries of an operation's life, in the order in which it comes by them. A process may die at each, and nothing may be lost. */
export const failpoints = [
  // Server: the accepting transaction, and the answer to the client.
  'accept.before-locks',
  'accept.overtaken',
  'accept.before-commit',
  'accept.after-commit',
  'accept.answer',
  // Relay: outbox to queue.
  'relay.before-publish',
  'relay.after-publish',
  'relay.after-mark',
  // Runner.
  'queue.delivered',
  'claim.before',
  'claim.after',
  'judge.before-commit',
  'judge.after-commit',
  'step.before-intent',
  'step.after-intent',
  'step.before-act',
  'step.before-done',
  'step.after-done',
  'step.before-failed',
  'step.after-failed',
  'no-return.before',
  'no-return.after',
  'child.before-begin',
  'child.after-begin',
  'child.ended',
  'turn-back.before',
  'turn-back.after',
  'undo.before-intent',
  'undo.after-intent',
  'undo.before-done',
  'undo.after-done',
  'probe.before-ask',
  'probe.before-done',
  'probe.after-done',
  'end.before-commit',
  'end.after-commit',
  // Runner: nobody knows what came of it.
  'attention.before-commit',
  'attention.after-commit',
  // Whoever gives an object on to those that wait.
  'turn.before-commit',
  'turn.after-commit',
  // Runner and agent: nothing of an older attempt acts on the host any more.
  'fence.answered',
  // Whoever takes an operation back.
  'cancel.before-commit',
  'cancel.after-commit',
  // Whoever has a word on one that needs attention.
  'retry.before-commit',
  'retry.after-commit',
  'resolve.after-commit',
  // Agent: one write call.
  'agent.received',
  'agent.before-begin',
  'agent.after-begin',
  'agent.before-end',
  'agent.after-end',
  'agent.reply',
] as const;

export type FailpointName = (typeof failpoints)[number];

/** Who comes by. The kind and the target are only known to some points; the others know the operation. */
export interface Passing {
  readonly operationId: string;
  readonly kind?: string;
  readonly target?: { readonly type: string; readonly id: string };
  readonly step?: string;
}

/** What becomes of a message at the points that are one (`accept.answer`, `relay.before-publish`, `relay.after-publish`, `queue.delivered`,
 * `agent.received`, `agent.reply`); elsewhere it means nothing. */
export type Fate = 'pass' | 'drop' | 'duplicate';

export type Failpoint = (name: FailpointName, passing: Passing) => Promise<Fate>;

/**
 * Undefined in production, where nothing arms it and nothing reads a setting for it; so a point costs one comparison:
 *
 *     if (failpoint) await failpoint('claim.before', { operationId });
 *
 * The crash-point sweep in `test/chaos` arms it from outside of the program. What waits here stands exactly at the boundary.
 */
export let failpoint: Failpoint | undefined;

/** For tests alone. */
export function armFailpoints(armed: Failpoint | undefined): void {
  failpoint = armed;
}
