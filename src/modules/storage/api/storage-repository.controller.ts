import { Controller } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { Answer } from '../../../api/rest/answer.js';
import { CurrentCaller, IfMatch, Input, ObjectId, QueryInput } from '../../../api/rest/parameters.js';
import { readList, readOne } from '../../../api/rest/read.js';
import {
  ListRoute,
  type OperationQuery,
  operationQuery,
  OperationRoute,
  PatchRoute,
  ReadRoute,
} from '../../../api/rest/routes.js';
import { Reader } from '../../../kernel/database/reader.js';
import { type Caller } from '../../../kernel/operations/caller.js';
import { type ListQuery, listQuery, type OneQuery, oneQuery } from '../../../kernel/schema/page.js';
import { type ExpectedRevision } from '../../../kernel/schema/revision.js';
import { operationView } from '../../operation/index.js';
import { repositoryNameTaken } from '../storage.errors.js';
import { storageRepositoryModel } from '../storage.queries.js';
import {
  type CreateStorageRepositoryInput,
  createStorageRepositoryInput,
  type PatchStorageRepositoryInput,
  patchStorageRepositoryInput,
} from '../storage.schema.js';
import { StorageService } from '../storage.service.js';
import { createStorageRepository, deleteStorageRepository } from '../operations/index.js';

@ApiTags('storage-repositories')
@Controller('v1/storage-repositories')
export class StorageRepositoryController {
  constructor(
    private readonly reader: Reader,
    private readonly storage: StorageService,
  ) {}

  @ListRoute(storageRepositoryModel)
  list(@QueryInput(listQuery) query: ListQuery): Promise<Answer> {
    return readList(this.reader, storageRepositoryModel, query);
  }

  @ReadRoute(storageRepositoryModel)
  one(@ObjectId() id: string, @QueryInput(oneQuery) query: OneQuery): Promise<Answer> {
    return readOne(this.reader, storageRepositoryModel, id, query);
  }

  @OperationRoute('POST', '', createStorageRepository, {
    summary: 'Create a storage repository',
    output: operationView,
  })
  async create(
    @Input(createStorageRepositoryInput) input: CreateStorageRepositoryInput,
    @QueryInput(operationQuery) query: OperationQuery,
    @CurrentCaller() caller: Caller,
  ): Promise<Answer> {
    return Answer.operation(await this.storage.createRepository(input, caller, query));
  }

  @PatchRoute(storageRepositoryModel, {
    summary: 'Rename a storage repository',
    errors: [repositoryNameTaken],
  })
  async patch(
    @ObjectId() id: string,
    @Input(patchStorageRepositoryInput) input: PatchStorageRepositoryInput,
    @IfMatch() expected: ExpectedRevision,
  ): Promise<Answer> {
    await this.storage.patchRepository(id, input, expected);
    return readOne(this.reader, storageRepositoryModel, id);
  }

  @OperationRoute('DELETE', ':id', deleteStorageRepository, {
    summary: 'Delete a storage repository',
    output: operationView,
  })
  async delete(
    @ObjectId() id: string,
    @QueryInput(operationQuery) query: OperationQuery,
    @IfMatch() expected: ExpectedRevision,
    @CurrentCaller() caller: Caller,
  ): Promise<Answer> {
    return Answer.operation(await this.storage.deleteRepository(id, expected, caller, query));
  }
}
