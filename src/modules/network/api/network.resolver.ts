import { Args, Info, Mutation, Resolver } from '@nestjs/graphql';
import { type GraphQLResolveInfo } from 'graphql';
import { GraphqlCaller, IdArg, InputArg, OnBusyArg, RevisionArg } from '../../../api/graphql/arguments.js';
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
import { type OperationView } from '../../../kernel/operations/operation-view.js';
import { type OnBusy } from '../../../kernel/schema/on-busy.js';
import { type ExpectedRevision } from '../../../kernel/schema/revision.js';
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
    @OnBusyArg() onBusy: OnBusy,
    @GraphqlCaller() caller: Caller,
  ): Promise<OperationView> {
    return this.service.create(input, caller, { onBusy });
  }

  @Mutation(() => modelType(networkModel))
  async updateNetwork(
    @IdArg() id: string,
    @RevisionArg() expected: ExpectedRevision,
    @InputArg(patchNetworkInput) input: PatchNetworkInput,
    @Info() info: GraphQLResolveInfo,
  ): Promise<object> {
    await this.service.patch(id, input, expected);
    return readObject(this.reader, networkModel, id, info);
  }

  @Mutation(() => modelType(operationModel))
  deleteNetwork(
    @IdArg() id: string,
    @RevisionArg() expected: ExpectedRevision,
    @OnBusyArg() onBusy: OnBusy,
    @GraphqlCaller() caller: Caller,
  ): Promise<OperationView> {
    return this.service.delete(id, expected, caller, { onBusy });
  }
}
