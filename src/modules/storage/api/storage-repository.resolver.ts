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
    @AskedTerms({ operation: true }) terms: MutationTerms,
  ): Promise<OperationView | null> {
    return startedField(this.service.createRepository(input, terms), terms);
  }

  @Mutation(() => modelType(storageRepositoryModel))
  updateStorageRepository(
    @IdArg() id: string,
    @AskedTerms({ revision: true }) terms: MutationTerms,
    @InputArg(patchStorageRepositoryInput) input: PatchStorageRepositoryInput,
    @Info() info: GraphQLResolveInfo,
  ): Promise<object | null> {
    const writing = this.service.patchRepository(id, input, terms);
    return writtenField(writing, terms, () => readObject(this.reader, storageRepositoryModel, id, info));
  }

  @Mutation(() => modelType(operationModel))
  deleteStorageRepository(
    @IdArg() id: string,
    @AskedTerms({ revision: true, operation: true }) terms: MutationTerms,
  ): Promise<OperationView | null> {
    return startedField(this.service.deleteRepository(id, terms), terms);
  }
}
