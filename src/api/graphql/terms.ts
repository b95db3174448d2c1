import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import { GqlExecutionContext, Int, TypeMetadataStorage } from '@nestjs/graphql';
import { type FastifyReply } from 'fastify';
import { type GraphQLResolveInfo } from 'graphql';
import { z } from 'zod';
import { type OperationView } from '../../kernel/operations/operation-view.js';
import { plan, type Plan } from '../../kernel/operations/plan.js';
import { type Started, type Terms, type Told, type Written } from '../../kernel/operations/terms.js';
import { onBusy } from '../../kernel/schema/on-busy.js';
import { idempotencyKey, waitSeconds } from '../../kernel/schema/terms.js';
import { callerOf } from '../caller.js';
import { parseInput } from '../parse-input.js';
import { type GraphqlContext } from './arguments.js';
import { enumType, objectType } from './type-of-schema.js';

/** What stands beside `data` in the answer: by the name of the mutation, or its alias. */
interface Extensions {
  /** Of those that were asked with `dryRun`, whose field is null. */
  plans?: Record<string, Plan>;
  /** Those that are the answer to an earlier request with the same key. */
  replayed?: string[];
}

/** A mutation's context; plans gather in it while its fields run. */
export type MutationContext = GraphqlContext & { readonly reply: FastifyReply; extensions?: Extensions };

/** The plan is in no field's type, and must be in the schema all the same. */
export const PlanType = objectType(plan);

const termArguments = z.object({
  onBusy: onBusy.nullish().transform((value) => value ?? 'refuse'),
  idempotencyKey: idempotencyKey.nullish().transform((value) => value ?? null),
  dryRun: z
    .boolean()
    .nullish()
    .transform((value) => value ?? false),
  wait: waitSeconds.nullish().transform((value) => value ?? null),
  revision: z
    .int()
    .nullish()
    .transform((value) => (value === null || value === undefined ? null : [value])),
});

interface TermArgument {
  readonly type: () => object;
  readonly description: string;
}

const OnBusyType = enumType(onBusy, 'OnBusy');
const every: Record<string, TermArgument> = {
  idempotencyKey: {
    type: () => String,
    description: 'What the header Idempotency-Key is in REST.',
  },
  dryRun: {
    type: () => Boolean,
    description:
      'Changes nothing: the field is null, and the plan stands in `extensions.plans`, of the type Plan.',
  },
};
const revision: TermArgument = { type: () => Int, description: 'The revision that was read.' };
const wait: TermArgument = {
  type: () => Int,
  description: 'Answers when the operation has ended, or after so many seconds (1-300).',
};
const operation: Record<string, TermArgument> = {
  onBusy: { type: () => OnBusyType, description: '`wait`: accepted, and begins when the object is free.' },
  wait,
};

const nobodyLeaves = new AbortController().signal;

function gone(reply: FastifyReply): AbortSignal {
  const controller = new AbortController();
  reply.raw.once('close', () => controller.abort());
  return controller.signal;
}

/** The terms of a mutation, and where its answer puts what no field can say. */
export interface MutationTerms extends Terms {
  /** Null, as the field: the plan goes beside the data. */
  planned(plan: Plan): null;
  replayed(): void;
}

const ReadTerms = createParamDecorator((_: unknown, execution: ExecutionContext): MutationTerms => {
  const graphql = GqlExecutionContext.create(execution);
  const context = graphql.getContext<MutationContext>();
  const asked = parseInput(termArguments, graphql.getArgs<object>(), '', 'arguments');
  const name = String(graphql.getInfo<GraphQLResolveInfo>().path.key);
  const extensions = (context.extensions ??= {});
  return {
    caller: callerOf(context),
    expected: asked.revision,
    onBusy: asked.onBusy,
    idempotencyKey: asked.idempotencyKey,
    dryRun: asked.dryRun,
    waitSeconds: asked.wait,
    gone: asked.wait === null ? nobodyLeaves : gone(context.reply),
    planned: (found) => {
      (extensions.plans ??= {})[name] = found;
      return null;
    },
    replayed: () => void (extensions.replayed ??= []).push(name),
  };
});

/**
 * The terms on which a mutation is asked, and their arguments in the schema: those of every write, `revision` where there
 * is something to be revised, `onBusy` and `wait` where an operation is started, `wait` alone where something is done to one.
 */
export const AskedTerms =
  (which: { revision?: boolean; operation?: boolean; wait?: boolean } = {}): ParameterDecorator =>
  (target, method, index) => {
    if (method === undefined) throw new Error('Terms are asked of a method.');
    const all = {
      ...every,
      ...(which.revision && { revision }),
      ...(which.operation && operation),
      ...(which.wait && { wait }),
    };
    for (const [name, { type, description }] of Object.entries(all))
      TypeMetadataStorage.addMethodParamMetadata({
        kind: 'arg',
        name,
        description,
        target: target.constructor,
        methodName: String(method),
        typeFn: type as () => typeof Int,
        index,
        options: { nullable: true },
      });
    ReadTerms()(target, method, index);
  };

/** What a mutation that starts an operation answers with. */
export async function startedField(
  begun: Promise<Started>,
  terms: MutationTerms,
): Promise<OperationView | null> {
  const started = await begun;
  if ('plan' in started) return terms.planned(started.plan);
  if (started.replayed) terms.replayed();
  return started.operation;
}

/** What a mutation that is done when it is answered answers with: `now` reads what was asked of it. */
export async function writtenField<R>(
  writing: Promise<Written>,
  terms: MutationTerms,
  now: (id: string) => Promise<R>,
): Promise<R | null> {
  const written = await writing;
  if ('plan' in written) return terms.planned(written.plan);
  if (written.replayed) terms.replayed();
  return now(written.id);
}

/** What a mutation answers with that tells a secret. */
export async function toldField<R>(telling: Promise<Told<R>>, terms: MutationTerms): Promise<R | null> {
  const answer = await telling;
  return 'plan' in answer ? terms.planned(answer.plan) : answer.told;
}
