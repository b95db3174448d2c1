import { Args, Info, Mutation, Resolver } from '@nestjs/graphql';
import { type GraphQLResolveInfo } from 'graphql';
import { IdArg, InputArg } from '../../../api/graphql/arguments.js';
import {
  ConnectionArgs,
  ConnectionQuery,
  modelType,
  ObjectQuery,
  readConnection,
  readObject,
} from '../../../api/graphql/connection.js';
import { AskedTerms, type MutationTerms, writtenField } from '../../../api/graphql/terms.js';
import { Reader } from '../../../kernel/database/reader.js';
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
  createPool(
    @InputArg(createPoolInput) input: CreatePoolInput,
    @AskedTerms() terms: MutationTerms,
    @Info() info: GraphQLResolveInfo,
  ): Promise<object | null> {
    const writing = this.service.create(input, terms);
    return writtenField(writing, terms, (id) => readObject(this.reader, poolModel, id, info));
  }

  @Mutation(() => modelType(poolModel))
  updatePool(
    @IdArg() id: string,
    @InputArg(patchPoolInput) input: PatchPoolInput,
    @AskedTerms({ revision: true }) terms: MutationTerms,
    @Info() info: GraphQLResolveInfo,
  ): Promise<object | null> {
    const writing = this.service.patch(id, input, terms);
    return writtenField(writing, terms, () => readObject(this.reader, poolModel, id, info));
  }
}
