import { type DataSource, type EntityManager } from 'typeorm';
import { type ReadModel } from '../database/read-model.js';
import { type Reader } from '../database/reader.js';
import { defaultSelection } from '../database/selection.js';
import { clientOf, poolOf } from '../database/statement.js';
import { inRolledBackTransaction, inTransaction } from '../database/transaction.js';
import { isProblem } from '../errors/problem.js';
import { noteAsker } from '../events/append-event.js';
import { type ObjectRef } from './define-operation.js';
import {
  claimKey,
  findKept,
  idempotencyAnswerGone,
  keepAnswer,
  type KeptAnswer,
  onceFor,
} from './idempotency.js';
import { type Plan } from './plan.js';
import { type Terms, type Told, type Written } from './terms.js';
import { AllRefusals } from './verdict.js';

/** A write that is done when it is answered. */
export interface ShortWrite<R> {
  /** `<noun>.<verb>`: `pool.update`. */
  readonly kind: string;
  readonly target: ObjectRef;
  /** What the caller asked, without what was made up for it. */
  readonly asked: unknown;
  /** Asks hosts what the transaction cannot know, before it. Changes nothing. */
  readonly check?: () => Promise<void>;
  /** In one transaction, refusals included. It has no effect but rows, and may be done twice. */
  readonly work: (tx: EntityManager) => Promise<R>;
  /** With what it came to, once that is committed; not for the answer to an earlier request. */
  readonly committed?: (result: R) => Promise<void>;
}

type Done<R> = { readonly first: R; readonly kept: KeptAnswer | null } | { readonly again: KeptAnswer };
/** What is kept of the answer, read in the transaction that had the effect. */
type Keep<R> = (tx: EntityManager, result: R) => Promise<KeptAnswer>;

/**
 * Writes without an operation, on the terms on which they are asked: once under a key, with the answer kept in the very
 * transaction that has the effect; or as a dry run, which goes the same road and is rolled back.
 */
export class ShortWrites {
  constructor(
    private readonly source: DataSource,
    private readonly reader: Reader,
  ) {}

  /** Of an object that a model shows: a repeated key gets it as it was. */
  async object<R>(
    model: ReadModel,
    write: ShortWrite<R>,
    terms: Terms,
    answer: { status: 200 | 201; headers?: Readonly<Record<string, string>> } = { status: 200 },
  ): Promise<Written> {
    if (terms.dryRun) return { plan: await this.plan(write) };
    const done = await this.once(write, terms, async (tx) => {
      const reader = this.reader.on(await clientOf(tx));
      const { text, revision } = await reader.get(model, write.target.id, defaultSelection(model));
      const etag: Record<string, string> = revision === null ? {} : { etag: `"${revision}"` };
      return { status: answer.status, headers: { ...etag, ...answer.headers }, body: text };
    });
    if ('first' in done) return { id: write.target.id, replayed: false, kept: done.kept };
    const { id } = JSON.parse(done.again.body ?? '{}') as { id?: string };
    return { id: id ?? write.target.id, replayed: true, kept: done.again };
  }

  /** Of a secret, which is kept nowhere: a repeated key is refused with `idempotency.answer_gone`. */
  async secret<R>(write: ShortWrite<R>, terms: Terms): Promise<Told<R>> {
    if (terms.dryRun) return { plan: await this.plan(write) };
    const nothing = { status: 201, headers: {}, body: null };
    const done = await this.once(write, terms, () => Promise.resolve(nothing));
    if ('first' in done) return { told: done.first };
    throw idempotencyAnswerGone(
      'The first request with this key was done. Its answer held a secret, which is told once: ask with another key.',
    );
  }

  private async once<R>(write: ShortWrite<R>, terms: Terms, keep: Keep<R>): Promise<Done<R>> {
    const { caller, idempotencyKey, expected } = terms;
    const once = onceFor(caller.actor, idempotencyKey, [write.kind, write.asked, expected]);
    const before = once && (await findKept(poolOf(this.source), once));
    if (before) return { again: before };
    try {
      await write.check?.();
      const done = await inTransaction<Done<R>>(this.source, async (tx) => {
        noteAsker(tx, caller);
        if (!once) return { first: await write.work(tx), kept: null };
        const client = await clientOf(tx);
        const again = await claimKey(client, once);
        if (again) return { again };
        const first = await write.work(tx);
        const kept = await keep(tx, first);
        await keepAnswer(client, once, kept);
        return { first, kept };
      });
      if ('first' in done) await write.committed?.(done.first);
      return done;
    } catch (error) {
      // What the first one with the key did, just now, may be the very reason why this one is refused.
      const meanwhile = once && isProblem(error) && (await findKept(poolOf(this.source), once));
      if (meanwhile) return { again: meanwhile };
      throw error;
    }
  }

  private async plan<R>({ kind, target, check, work }: ShortWrite<R>): Promise<Plan> {
    const checking = new AllRefusals();
    await checking.attempt(async () => check?.());
    const blockers = await inRolledBackTransaction(this.source, async (tx) => {
      const verdict = new AllRefusals(checking.blockers);
      await verdict.attempt(() => work(tx), await clientOf(tx));
      return verdict.blockers;
    });
    const nothing = {
      waitsFor: [],
      steps: [],
      chosen: [],
      overtakes: [],
      locks: [],
      claims: [],
      effects: [],
    };
    return { kind, target, allowed: blockers.length === 0, blockers, ...nothing };
  }
}
