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
    @AskedTerms({ operation: true }) terms: MutationTerms,
  ): Promise<OperationView | null> {
    return startedField(this.service.createVolume(input, terms), terms);
  }

  @Mutation(() => modelType(volumeModel))
  updateVolume(
    @IdArg() id: string,
    @AskedTerms({ revision: true }) terms: MutationTerms,
    @InputArg(patchVolumeInput) input: PatchVolumeInput,
    @Info() info: GraphQLResolveInfo,
  ): Promise<object | null> {
    const writing = this.service.patchVolume(id, input, terms);
    return writtenField(writing, terms, () => readObject(this.reader, volumeModel, id, info));
  }

  @Mutation(() => modelType(operationModel))
  deleteVolume(
    @IdArg() id: string,
    @AskedTerms({ revision: true, operation: true }) terms: MutationTerms,
  ): Promise<OperationView | null> {
    return startedField(this.service.deleteVolume(id, terms), terms);
  }
}
