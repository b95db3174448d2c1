import { type EntityManager } from 'typeorm';
import { type Budgets } from './budgets.js';
import { type Caller } from './caller.js';
import {
  type Acceptance,
  type Acceptor,
  type Ending,
  type ObjectRef,
  type OperationContext,
  type OperationDefinition,
} from './define-operation.js';
import { type LockRequest } from './locks.js';
import { priorities } from './priority.js';

/** A definition with its services, once the types that only its own file knows have been put away. */
export interface RegisteredOperation {
  readonly name: string;
  readonly steps: readonly string[];
  readonly deadlineMs: number;
  readonly runs: boolean;
  readonly priority: number;
  readonly overtakes: boolean;
  readonly overtakable: boolean;
  /** Of an operation's row; the other methods take what came from here, or from the face. */
  parse(stored: unknown): unknown;
  target(input: unknown): ObjectRef;
  locks(input: unknown): readonly LockRequest[];
  check(input: unknown, caller: Caller, budgets: Budgets): Promise<unknown>;
  accept(tx: EntityManager, input: unknown, by: Acceptor, found: unknown): Promise<Acceptance<unknown>>;
  run(context: OperationContext<string>, plan: unknown): Promise<unknown>;
  settle(tx: EntityManager, plan: unknown, ending: Ending): Promise<void>;
  doubt(tx: EntityManager, plan: unknown): Promise<void>;
}

/** Definitions by name. */
export class OperationRegistry {
  private readonly byName = new Map<string, RegisteredOperation>();

  register<Services, I, P, Step extends string, Found>(
    definition: OperationDefinition<Services, I, P, Step, Found>,
    services: Services,
  ): void {
    if (this.byName.has(definition.name))
      throw new Error(`Operation ${definition.name} is registered twice.`);
    if (new Set(definition.steps).size !== definition.steps.length) {
      throw new Error(`Operation ${definition.name} has two steps of one name.`);
    }
    const { priority = 0 } = definition;
    if (!Number.isInteger(priority) || Math.abs(priority) > priorities.urgent) {
      throw new Error(`Operation ${definition.name} has a priority outside of its scale.`);
    }
    this.byName.set(definition.name, {
      name: definition.name,
      steps: definition.steps,
      deadlineMs: definition.deadlineMs,
      runs: definition.run !== undefined,
      priority,
      overtakes: definition.overtakes ?? false,
      overtakable: definition.overtakable ?? false,
      parse: (stored) => definition.input.parse(stored),
      target: (input) => definition.target(input as I),
      locks: (input) => definition.locks(input as I),
      check: async (input, caller, budgets) => definition.check?.(services, input as I, caller, budgets),
      accept: (tx, input, by, found) => definition.accept(tx, input as I, by, found as Found),
      run: async (context, plan) => definition.run?.(context, plan as P, services),
      settle: async (tx, plan, ending) => definition.settle?.(tx, plan as P, ending),
      doubt: async (tx, plan) => definition.doubt?.(tx, plan as P),
    });
  }

  get(name: string): RegisteredOperation {
    const found = this.byName.get(name);
    if (!found) throw new Error(`Operation ${name} is not registered.`);
    return found;
  }

  /** False for a kind of a newer or older server. */
  knows(name: string): boolean {
    return this.byName.has(name);
  }

  /** How long each kind may run, in milliseconds: what a claim needs to know, and which kinds this process can run at all. */
  deadlines(): Record<string, number> {
    return Object.fromEntries([...this.byName.values()].map(({ name, deadlineMs }) => [name, deadlineMs]));
  }
}
