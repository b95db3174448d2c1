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
import { volumeModel } from '../storage.queries.js';
import {
  type CreateVolumeInput,
  createVolumeInput,
  type PatchVolumeInput,
  patchVolumeInput,
} from '../storage.schema.js';
import { StorageService } from '../storage.service.js';

@Resolver()
export class VolumeResolver {
  constructor(
    private readonly reader: Reader,
    private readonly service: StorageService,
  ) {}

  @ConnectionQuery(volumeModel)
  volumes(@Args() args: ConnectionArgs, @Info() info: GraphQLResolveInfo): Promise<object> {
    return readConnection(this.reader, volumeModel, args, info);
  }

  @ObjectQuery(volumeModel)
  volume(@IdArg() id: string, @Info() info: GraphQLResolveInfo): Promise<object> {
    return readObject(this.reader, volumeModel, id, info);
  }

  @Mutation(() => modelType(operationModel))
  createVolume(
    @InputArg(createVolumeInput) input: CreateVolumeInput,
    @OnBusyArg() onBusy: OnBusy,
    @GraphqlCaller() caller: Caller,
  ): Promise<OperationView> {
    return this.service.createVolume(input, caller, { onBusy });
  }

  @Mutation(() => modelType(volumeModel))
  async updateVolume(
    @IdArg() id: string,
    @RevisionArg() expected: ExpectedRevision,
    @InputArg(patchVolumeInput) input: PatchVolumeInput,
    @Info() info: GraphQLResolveInfo,
  ): Promise<object> {
    await this.service.patchVolume(id, input, expected);
    return readObject(this.reader, volumeModel, id, info);
  }

  @Mutation(() => modelType(operationModel))
  deleteVolume(
    @IdArg() id: string,
    @RevisionArg() expected: ExpectedRevision,
    @OnBusyArg() onBusy: OnBusy,
    @GraphqlCaller() caller: Caller,
  ): Promise<OperationView> {
    return this.service.deleteVolume(id, expected, caller, { onBusy });
  }
}
