import {
  Args,
  Context,
  Field,
  ID,
  Info,
  Mutation,
  ObjectType,
  Resolver,
  Subscription,
} from '@nestjs/graphql';
import { type GraphQLResolveInfo } from 'graphql';
import { AfterArg, type GraphqlContext, IdArg, InputArg } from '../../../api/graphql/arguments.js';
import {
  ConnectionArgs,
  ConnectionQuery,
  modelType,
  ObjectQuery,
  readConnection,
  readObject,
} from '../../../api/graphql/connection.js';
import { AskedTerms, type MutationTerms, writtenField } from '../../../api/graphql/terms.js';
import { selectionUnder } from '../../../api/graphql/look-ahead.js';
import { abortable } from '../../../api/graphql/subscription.js';
import { addField } from '../../../api/graphql/type-of-schema.js';
import { Reader } from '../../../kernel/database/reader.js';
import { OperationFollower } from '../operation.follow.js';
import { operationModel } from '../operation.queries.js';
import { type ResolveOperationInput, resolveOperationInput } from '../operation.schema.js';
import { OperationService } from '../operation.service.js';

@ObjectType({ description: 'An operation as it was at a place in the event log.' })
class OperationChange {
  @Field(() => ID, { description: 'Subscribe with `after` of this to go on from here.' }) eventId!: string;
}
addField(OperationChange, 'operation', () => modelType(operationModel), { list: false, nullable: false });

@Resolver()
export class OperationResolver {
  constructor(
    private readonly reader: Reader,
    private readonly service: OperationService,
    private readonly follower: OperationFollower,
  ) {}

  @ConnectionQuery(operationModel)
  operations(@Args() args: ConnectionArgs, @Info() info: GraphQLResolveInfo): Promise<object> {
    return readConnection(this.reader, operationModel, args, info);
  }

  @ObjectQuery(operationModel)
  operation(@IdArg() id: string, @Info() info: GraphQLResolveInfo): Promise<object> {
    return readObject(this.reader, operationModel, id, info);
  }

  @Mutation(() => modelType(operationModel))
  cancelOperation(
    @IdArg() id: string,
    @AskedTerms({ wait: true }) terms: MutationTerms,
    @Info() info: GraphQLResolveInfo,
  ): Promise<object | null> {
    const writing = this.service.cancel(id, terms);
    return writtenField(writing, terms, () => readObject(this.reader, operationModel, id, info));
  }

  @Mutation(() => modelType(operationModel))
  retryOperation(
    @IdArg() id: string,
    @AskedTerms({ wait: true }) terms: MutationTerms,
    @Info() info: GraphQLResolveInfo,
  ): Promise<object | null> {
    const writing = this.service.retry(id, terms);
    return writtenField(writing, terms, () => readObject(this.reader, operationModel, id, info));
  }

  @Mutation(() => modelType(operationModel))
  resolveOperation(
    @IdArg() id: string,
    @InputArg(resolveOperationInput) input: ResolveOperationInput,
    @AskedTerms({ wait: true }) terms: MutationTerms,
    @Info() info: GraphQLResolveInfo,
  ): Promise<object | null> {
    const writing = this.service.resolve(id, input, terms);
    return writtenField(writing, terms, () => readObject(this.reader, operationModel, id, info));
  }

  @Subscription(() => OperationChange, {
    description:
      'The operation as it is now, then after each change, until it has ended. With `after`, only what has changed since that event.',
  })
  async operationChanged(
    @IdArg() id: string,
    @AfterArg() after: number | null,
    @Context() context: GraphqlContext,
    @Info() info: GraphQLResolveInfo,
  ): Promise<AsyncGenerator<{ operationChanged: object }, void, undefined>> {
    const gone = new AbortController();
    const selection = selectionUnder(operationModel, info, 'operation');
    const drained = context.drained ?? (() => Promise.resolve());
    const changes = await this.follower.follow(id, after, selection, gone.signal, drained);
    return abortable(payloads(changes), gone);
  }
}

async function* payloads(
  changes: AsyncGenerator<object, void, undefined>,
): AsyncGenerator<{ operationChanged: object }, void, undefined> {
  for await (const change of changes) yield { operationChanged: change };
}
