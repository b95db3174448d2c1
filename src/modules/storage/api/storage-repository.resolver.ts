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
import { storageRepositoryModel } from '../storage.queries.js';
import {
  type CreateStorageRepositoryInput,
  createStorageRepositoryInput,
  type PatchStorageRepositoryInput,
  patchStorageRepositoryInput,
} from '../storage.schema.js';
import { StorageService } from '../storage.service.js';

@Resolver()
export class StorageRepositoryResolver {
  constructor(
    private readonly reader: Reader,
    private readonly service: StorageService,
  ) {}

  @ConnectionQuery(storageRepositoryModel)
  storageRepositories(@Args() args: ConnectionArgs, @Info() info: GraphQLResolveInfo): Promise<object> {
    return readConnection(this.reader, storageRepositoryModel, args, info);
  }

  @ObjectQuery(storageRepositoryModel)
  storageRepository(@IdArg() id: string, @Info() info: GraphQLResolveInfo): Promise<object> {
    return readObject(this.reader, storageRepositoryModel, id, info);
  }

  @Mutation(() => modelType(operationModel))
  createStorageRepository(
    @InputArg(createStorageRepositoryInput) input: CreateStorageRepositoryInput,
    @OnBusyArg() onBusy: OnBusy,
    @GraphqlCaller() caller: Caller,
  ): Promise<OperationView> {
    return this.service.createRepository(input, caller, { onBusy });
  }

  @Mutation(() => modelType(storageRepositoryModel))
  async updateStorageRepository(
    @IdArg() id: string,
    @RevisionArg() expected: ExpectedRevision,
    @InputArg(patchStorageRepositoryInput) input: PatchStorageRepositoryInput,
    @Info() info: GraphQLResolveInfo,
  ): Promise<object> {
    await this.service.patchRepository(id, input, expected);
    return readObject(this.reader, storageRepositoryModel, id, info);
  }

  @Mutation(() => modelType(operationModel))
  deleteStorageRepository(
    @IdArg() id: string,
    @RevisionArg() expected: ExpectedRevision,
    @OnBusyArg() onBusy: OnBusy,
    @GraphqlCaller() caller: Caller,
  ): Promise<OperationView> {
    return this.service.deleteRepository(id, expected, caller, { onBusy });
  }
}
