import { Args, Info, Mutation, Resolver } from '@nestjs/graphql';
import { type GraphQLResolveInfo } from 'graphql';
import { GraphqlCaller, IdArg, InputArg, RevisionArg } from '../../../api/graphql/arguments.js';
import {
  ConnectionArgs,
  ConnectionQuery,
  modelType,
  ObjectQuery,
  readConnection,
  readObject,
} from '../../../api/graphql/connection.js';
import { Reader } from '../../../kernel/database/reader.js';
import { type Caller } from '../../../kernel/operations/caller.js';
import { type ExpectedRevision } from '../../../kernel/schema/revision.js';
import { poolModel } from '../pool.queries.js';
import {
  type CreatePoolInput,
  createPoolInput,
  type PatchPoolInput,
  patchPoolInput,
} from '../pool.schema.js';
import { PoolService } from '../pool.service.js';

@Resolver()
export class PoolResolver {
  constructor(
    private readonly reader: Reader,
    private readonly service: PoolService,
  ) {}

  @ConnectionQuery(poolModel)
  pools(@Args() args: ConnectionArgs, @Info() info: GraphQLResolveInfo): Promise<object> {
    return readConnection(this.reader, poolModel, args, info);
  }

  @ObjectQuery(poolModel)
  pool(@IdArg() id: string, @Info() info: GraphQLResolveInfo): Promise<object> {
    return readObject(this.reader, poolModel, id, info);
  }

  @Mutation(() => modelType(poolModel))
  async createPool(
    @InputArg(createPoolInput) input: CreatePoolInput,
    @GraphqlCaller() caller: Caller,
    @Info() info: GraphQLResolveInfo,
  ): Promise<object> {
    return readObject(this.reader, poolModel, await this.service.create(input, caller), info);
  }

  @Mutation(() => modelType(poolModel))
  async updatePool(
    @IdArg() id: string,
    @RevisionArg() expected: ExpectedRevision,
    @InputArg(patchPoolInput) input: PatchPoolInput,
    @GraphqlCaller() caller: Caller,
    @Info() info: GraphQLResolveInfo,
  ): Promise<object> {
    await this.service.patch(id, input, expected, caller);
    return readObject(this.reader, poolModel, id, info);
  }
}
