import { type DataSource, type EntityManager } from 'typeorm';
import { clientOf, poolOf } from '../database/statement.js';
import { inTransaction } from '../database/transaction.js';
import { isDatabaseUnavailable } from '../database/unavailable.js';
import { type Problem } from '../errors/problem.js';
import { markAppended } from '../events/append-event.js';
import { failpoint } from '../failpoint.js';
import { type OnBusy } from '../schema/on-busy.js';
import { newId } from '../schema/values.js';
import { type Accepted, acceptOperation, type AsChild, type Request } from './acceptance.js';
import { type Resolved, resolveOperation, retryOperation } from './attend.js';
import { unbounded } from './budgets.js';
import { type Caller } from './caller.js';
import { type Cancelling, cancelOperation } from './cancel.js';
import { Children } from './children.js';
import { giveBackAll } from './claim.js';
import { type OperationDefinition } from './define-operation.js';
import { type EndedFromOutside, endFromOutside, livingFamily } from './end-from-outside.js';
import { Endings } from './endings.js';
import {
  defaultTiming,
  type EngineTiming,
  type OperationEnded,
  type OperationEngineOptions,
} from './engine-options.js';
import { type Once, onceFor } from './idempotency.js';
import { intervene, type Intervention } from './intervention.js';
import { LeaseKeeper } from './lease.js';
import { OperationMetrics } from './operation-metrics.js';
import { grantIfItsTurn, holdersOf, type LockedObject, waitingFor } from './lock-table.js';
import { type LockRequest } from './locks.js';
import { type OperationView } from './operation-view.js';
import { type Plan } from './plan.js';
import { planOperation } from './plan-operation.js';
import { Presence } from './presence.js';
import { QueueWatchdog } from './queue-watchdog.js';
import { type Replica } from './replica.js';
import { OperationRegistry, type RegisteredOperation } from './registry.js';
import { priorities } from './priority.js';
import { inOrder, type Outgoing, Relay } from './relay.js';
import { Runner } from './runner.js';
import { missedTurns, republishForgotten, sweepOperations, waitingOperations } from './sweeper.js';
import { StepHistory } from './step-history.js';
import { type Terms } from './terms.js';
import { endMissedTurn } from './turn-time.js';

export interface AcceptOptions {
  /** When another operation holds an object: refuse with `object.busy`, or accept and wait for the turn. */
  readonly onBusy?: OnBusy | undefined;
  /** The operation that begins it, and goes on without waiting: shown with it, under its locks, cancelled with it. */
  readonly parentId?: string | undefined;
}

/** Every so many sweeps, a look for turns and publications that should not be able to get lost. */
const THOROUGH_EVERY = 5;
const CONCURRENCY = 50;
const KEPT_FOR_URGENT = 10;
/** How often a parent looks for the end of a child that may run elsewhere. */
const CHILD_LOOK_MS = 500;

/** Accepts operations, and in a worker runs them. One in a process. */
export class OperationEngine {
  private readonly registry = new OperationRegistry();
  private readonly timing: EngineTiming;
  private readonly dataSource: DataSource;
  private readonly relay: Relay;
  private readonly leases: LeaseKeeper;
  private readonly presence: Presence;
  private readonly runner: Runner;
  private readonly watchdog: QueueWatchdog;
  private readonly metrics: OperationMetrics | undefined;
  private readonly endings = new Endings(CHILD_LOOK_MS);
  private readonly background = new Set<Promise<void>>();
  private sweepTimer: NodeJS.Timeout | undefined;
  private sweeps = 0;
  private handedOver = 0;
  private closed = false;

  constructor(private readonly options: OperationEngineOptions) {
    const { dataSource, queue, log, processId } = options;
    const now = options.monotonic ?? (() => performance.now());
    this.timing = { ...defaultTiming, ...options.timing };
    this.dataSource = dataSource;
    const pool = poolOf(dataSource);
    this.relay = new Relay(pool, queue, log);
    this.leases = new LeaseKeeper(pool, processId, this.timing, log, now);
    this.presence = new Presence(options.databaseUrl, processId, log, now);
    this.metrics = options.registry && new OperationMetrics(options.registry, pool, this.timing.republish);
    this.watchdog = new QueueWatchdog({
      pool,
      queue,
      concurrency: options.concurrency ?? CONCURRENCY,
      deafAfter: this.timing.deaf,
      now,
      log,
      onRenewed: () => this.metrics?.renewed(),
    });
    this.runner = new Runner({
      dataSource,
      registry: this.registry,
      leases: this.leases,
      processId,
      timing: this.timing,
      budgets: options.budgets ?? unbounded,
      children: new Children({
        pool,
        begin: (kind, input, by, child, onBusy) => this.beginChild(kind, input, by, child, onBusy),
        cancel: (operationId, by) => this.cancel(operationId, by),
        mayHaveEnded: (operationId, signal) => this.endings.next(operationId, signal),
      }),
      stepHistory: new StepHistory(pool, now),
      log,
      onAppended: () => options.events?.poke(),
      onFreed: (objects) => this.inBackground(this.giveTurns(objects)),
      onEnded: (ended) => this.tellEnded(ended),
    });
  }

  /** Before `start`. The definition must be known wherever operations of its kind are accepted or run. */
  register<Services, I, P, Step extends string, Found>(
    definition: OperationDefinition<Services, I, P, Step, Found>,
    services: Services,
  ): void {
    this.registry.register(definition, services);
  }

  /** After the migrations. From here on this process publishes what it accepts, and runs what it is given. */
  async start(): Promise<void> {
    const { runs = true, queue, concurrency = CONCURRENCY } = this.options;
    await this.presence.start();
    if (runs) {
      this.leases.start();
      const handle = (operationId: string) => this.watchdog.during(() => this.delivered(operationId));
      await queue.consume(handle, concurrency);
    }
    await this.sweep();
    this.sweepTimer = setInterval(() => this.inBackground(this.sweep()), this.timing.sweep);
  }

  /** This process among its replicas: whose death the others see at once, and whether it may judge theirs. */
  get replica(): Replica {
    return { id: this.options.processId, canJudge: () => this.presence.canJudge };
  }

  /**
   * Promises an operation: once this resolves it will be run and will end, whatever crashes. Rejects with the
   * definition's own refusals, `object.busy` with its blockers, `database.unavailable` (nothing was promised; if the
   * commit itself was cut off, the operation may still appear).
   */
  async accept<Services, I, P, Step extends string, Found>(
    definition: OperationDefinition<Services, I, P, Step, Found>,
    input: I,
    caller: Caller,
    { onBusy = 'refuse', parentId }: AcceptOptions = {},
  ): Promise<OperationView> {
    const child = parentId === undefined ? null : { id: newId(), parentId };
    const request = this.requestOf(this.registry.get(definition.name), input, caller, onBusy, child);
    return (await this.promise(request, null)).operation;
  }

  /**
   * What a face asks for, on the terms it asks for it: promises the operation, gives the first answer to a repeated key again,
   * or says for a dry run what `accept` would do and changes nothing. `asked`: the input without what was made up for it (the
   * id of a new object), so that a repeated request is seen as the same. Rejects as `accept` does, and with
   * `idempotency.mismatch`, `idempotency.in_progress`, `rate.limited`.
   */
  async begin<Services, I, P, Step extends string, Found>(
    definition: OperationDefinition<Services, I, P, Step, Found>,
    input: I,
    terms: Pick<Terms, 'caller' | 'onBusy' | 'idempotencyKey' | 'dryRun'>,
    asked: unknown = input,
  ): Promise<{ readonly plan: Plan } | Pick<Accepted, 'operation' | 'replayed'>> {
    const { caller, onBusy, idempotencyKey, dryRun } = terms;
    const request = this.requestOf(this.registry.get(definition.name), input, caller, onBusy);
    if (dryRun) return { plan: await planOperation(this.dataSource, request) };
    return this.promise(request, onceFor(caller.actor, idempotencyKey, [definition.name, asked, onBusy]));
  }

  /**
   * Takes an operation back, as `cancelOperation` says; returns once that is promised. Rejects with `operation.not_found`,
   * `operation.bad_state`, `operation.past_no_return`. Asked again while it is being cancelled, nothing more happens.
   */
  cancel(operationId: string, caller: Caller): Promise<void> {
    return intervene(this.dataSource, this.cancelling(operationId, caller));
  }

  /** The same, as part of a transaction. */
  cancelling(operationId: string, caller: Caller): Intervention<Cancelling> {
    return {
      work: (tx) => cancelOperation(tx, this.registry, operationId, caller),
      committed: async ({ outgoing, ...ended }) => {
        if (failpoint) await failpoint('cancel.after-commit', { operationId });
        for (const { operation_id } of outgoing) this.leases.lose(operation_id, 'it was cancelled');
        this.afterwards(ended, 'it was cancelled');
        this.dispatch(outgoing);
      },
    };
  }

  /**
   * One that needs attention goes on where it was, with its whole time anew. Rejects with `operation.not_found`,
   * `operation.bad_state`.
   */
  retrying(operationId: string, caller: Caller): Intervention<readonly Outgoing[]> {
    return {
      work: (tx) => retryOperation(tx, operationId, caller),
      committed: async (outgoing) => {
        if (failpoint) await failpoint('retry.after-commit', { operationId });
        this.leases.lose(operationId, 'it was asked to go on');
        this.dispatch(outgoing);
      },
    };
  }

  /**
   * Somebody's word on an operation that needs attention: it has had its effect, or has not. Rejects with
   * `operation.not_found`, `operation.bad_state`.
   */
  resolving(operationId: string, outcome: 'succeeded' | 'failed', caller: Caller): Intervention<Resolved> {
    return {
      work: (tx) => resolveOperation(tx, this.registry, operationId, outcome, caller),
      committed: async ({ ended, freed }) => {
        if (failpoint) await failpoint('resolve.after-commit', { operationId });
        this.inBackground(this.giveTurns(freed));
        this.tellEnded(ended);
      },
    };
  }

  /**
   * In the accepting transaction of another operation: whoever holds these objects ends `failed` where it stands, whatever it
   * is, also one that needs attention. Nothing is undone: for when what they work on is gone. The objects stay entered until
   * the transaction ends, so nobody else gets them before.
   */
  async endHolders(
    tx: EntityManager,
    by: string,
    requests: readonly LockRequest[],
    error: Problem,
  ): Promise<EndedFromOutside> {
    const client = await clientOf(tx);
    const family = await livingFamily(client, await holdersOf(client, by, requests));
    const ids = family.map(({ id }) => id);
    return endFromOutside(tx, this.registry, ids, { state: 'failed', error });
  }

  /** How many operations this process runs now. */
  get running(): number {
    return this.leases.count;
  }

  /** Takes nothing more, stops what runs where it is, and gives it back, so that another process goes on at once. */
  async close(): Promise<void> {
    if (this.closed) return;
    this.closed = true;
    clearInterval(this.sweepTimer);
    this.runner.stop();
    this.leases.stop('this process is closing');
    await this.options.queue.close();
    await this.relay.close();
    await giveBackAll(poolOf(this.dataSource), this.options.processId).catch(() => undefined);
    await this.presence.close();
    await Promise.allSettled(this.background);
  }

  /** What Domus does of itself is bounded where it is decided, not here. */
  private requestOf(
    definition: RegisteredOperation,
    input: unknown,
    caller: Caller,
    onBusy: OnBusy,
    child: AsChild | null = null,
  ): Request {
    const { budgets = unbounded } = this.options;
    // What overtakes must work while everything else hangs.
    const enforced = caller.role !== 'system' && child === null && !definition.overtakes;
    return {
      definition,
      input,
      caller,
      onBusy,
      bound: { budgets, enforced },
      child,
      registry: this.registry,
    };
  }

  /** Once or, since a queue may say everything twice, twice. */
  private async delivered(operationId: string): Promise<void> {
    const fate = failpoint && (await failpoint('queue.delivered', { operationId }));
    if (fate === 'drop') return;
    const again = fate === 'duplicate' ? this.runner.handle(operationId) : undefined;
    await this.runner.handle(operationId);
    await again;
  }

  private async promise(request: Request, once: Once | null): Promise<Accepted> {
    const accepted = await acceptOperation(this.dataSource, request, once);
    const { operation, publication, waits, overtaken } = accepted;
    if (failpoint) await failpoint('accept.after-commit', { operationId: operation.id });
    this.afterwards(overtaken, 'another operation has overtaken it');
    const { priority } = request.definition;
    if (publication !== null) this.dispatch([{ id: publication, operation_id: operation.id, priority }]);
    if (waits) this.inBackground(this.giveTurn(operation.id));
    return accepted;
  }

  private async sweep(): Promise<void> {
    const pool = poolOf(this.dataSource);
    // Before the sweep, which makes anew what nobody took.
    const { runs = true, handsOver = true } = this.options;
    if (runs) await this.watchdog.look();
    const { canJudge } = this.presence;
    this.dispatch(await sweepOperations(pool, this.timing.republish, canJudge, runs && handsOver));
    await this.relay.publishOrphans();
    if (this.sweeps++ % THOROUGH_EVERY !== 0) return;
    this.dispatch(await republishForgotten(pool));
    for (const id of await waitingOperations(pool)) await this.giveTurn(id);
    for (const id of await missedTurns(pool)) {
      const ended = await inTransaction(this.dataSource, (tx) => endMissedTurn(tx, this.registry, id));
      if (ended) this.afterwards(ended, 'its turn did not come');
    }
  }

  private async giveTurns(objects: readonly LockedObject[]): Promise<void> {
    for (const id of await waitingFor(poolOf(this.dataSource), objects)) await this.giveTurn(id);
  }

  private async giveTurn(operationId: string): Promise<void> {
    const outgoing = await inTransaction(this.dataSource, async (tx) => {
      const granted = await grantIfItsTurn(await clientOf(tx), operationId);
      if (granted) markAppended(tx);
      if (granted && failpoint) await failpoint('turn.before-commit', { operationId });
      return granted;
    });
    if (outgoing && failpoint) await failpoint('turn.after-commit', { operationId });
    if (outgoing) this.dispatch([outgoing]);
  }

  /**
   * What this process can run itself needs no queue: it is claimed here at once, as from a delivery. The row stays in the
   * outbox until the claim, so what is lost on this short way is published like anything else.
   */
  private dispatch(outgoing: readonly Outgoing[]): void {
    const { runs = true, handsOver = true, concurrency = CONCURRENCY } = this.options;
    const elsewhere: Outgoing[] = [];
    for (const one of inOrder(outgoing)) {
      const places = concurrency + (one.priority >= priorities.urgent ? KEPT_FOR_URGENT : 0);
      if (!runs || !handsOver || this.closed || this.handedOver >= places) {
        elsewhere.push(one);
        continue;
      }
      this.handedOver++;
      this.inBackground(this.runner.handle(one.operation_id).finally(() => this.handedOver--));
    }
    this.relay.publish(elsewhere);
  }

  /** After the commit of a transaction that ended operations which may run here. */
  private afterwards({ ended, freed }: EndedFromOutside, why: string): void {
    for (const one of ended) {
      this.leases.lose(one.operationId, why);
      this.tellEnded(one);
    }
    if (freed.length > 0) this.inBackground(this.giveTurns(freed));
  }

  /** A child runs in the process of its parent, whatever else has room there: the parent waits for it. */
  private async beginChild(
    kind: string,
    input: unknown,
    caller: Caller,
    child: AsChild,
    onBusy: OnBusy,
  ): Promise<void> {
    const request = this.requestOf(this.registry.get(kind), input, caller, onBusy, child);
    const { operation, waits, overtaken } = await acceptOperation(this.dataSource, request, null);
    this.afterwards(overtaken, 'another operation has overtaken it');
    this.inBackground(waits ? this.giveTurn(operation.id) : this.runner.handle(operation.id));
  }

  private tellEnded(ended: OperationEnded): void {
    this.endings.told(ended.operationId);
    const { onEnded, log } = this.options;
    this.metrics?.ended(ended);
    if (!onEnded) return;
    this.inBackground(
      (async () => onEnded(ended))().catch((error: unknown) =>
        log.warn({ err: error, operationId: ended.operationId }, 'nobody could be told that it has ended'),
      ),
    );
  }

  /** Work that may fail with the database and is found again by the next sweep. */
  private inBackground(work: Promise<void>): void {
    const watched = work
      .catch((error: unknown) => {
        if (this.closed || isDatabaseUnavailable(error)) return;
        this.options.log.error({ err: error }, 'the engine failed at a background task');
      })
      .finally(() => this.background.delete(watched));
    this.background.add(watched);
  }
}
