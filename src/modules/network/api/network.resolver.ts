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
import { AskedTerms, type MutationTerms, startedField, writtenField } from '../../../api/graphql/terms.js';
import { Reader } from '../../../kernel/database/reader.js';
import { type OperationView } from '../../../kernel/operations/operation-view.js';
import { operationModel } from '../../operation/index.js';
import { networkModel } from '../network.queries.js';
import {
  type CreateNetworkInput,
  createNetworkInput,
  type PatchNetworkInput,
  patchNetworkInput,
} from '../network.schema.js';
import { NetworkService } from '../network.service.js';

@Resolver()
export class NetworkResolver {
  constructor(
    private readonly reader: Reader,
    private readonly service: NetworkService,
  ) {}

  @ConnectionQuery(networkModel)
  networks(@Args() args: ConnectionArgs, @Info() info: GraphQLResolveInfo): Promise<object> {
    return readConnection(this.reader, networkModel, args, info);
  }

  @ObjectQuery(networkModel)
  network(@IdArg() id: string, @Info() info: GraphQLResolveInfo): Promise<object> {
    return readObject(this.reader, networkModel, id, info);
  }

  @Mutation(() => modelType(operationModel))
  createNetwork(
    @InputArg(createNetworkInput) input: CreateNetworkInput,
    @AskedTerms({ operation: true }) terms: MutationTerms,
  ): Promise<OperationView | null> {
    return startedField(this.service.create(input, terms), terms);
  }

  @Mutation(() => modelType(networkModel))
  updateNetwork(
    @IdArg() id: string,
    @AskedTerms({ revision: true }) terms: MutationTerms,
    @InputArg(patchNetworkInput) input: PatchNetworkInput,
    @Info() info: GraphQLResolveInfo,
  ): Promise<object | null> {
    const writing = this.service.patch(id, input, terms);
    return writtenField(writing, terms, () => readObject(this.reader, networkModel, id, info));
  }

  @Mutation(() => modelType(operationModel))
  deleteNetwork(
    @IdArg() id: string,
    @AskedTerms({ revision: true, operation: true }) terms: MutationTerms,
  ): Promise<OperationView | null> {
    return startedField(this.service.delete(id, terms), terms);
  }
}
