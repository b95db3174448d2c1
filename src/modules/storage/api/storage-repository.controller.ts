import { Controller } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { Answer } from '../../../api/rest/answer.js';
import { Input, ObjectId, QueryInput } from '../../../api/rest/parameters.js';
import { readList, readOne } from '../../../api/rest/read.js';
import { ListRoute, OperationRoute, PatchRoute, ReadRoute } from '../../../api/rest/routes.js';
import { RequestTerms } from '../../../api/rest/terms.js';
import { Reader } from '../../../kernel/database/reader.js';
import { type Terms } from '../../../kernel/operations/terms.js';
import { type ListQuery, listQuery, type OneQuery, oneQuery } from '../../../kernel/schema/page.js';
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
  create(
    @Input(createStorageRepositoryInput) input: CreateStorageRepositoryInput,
    @RequestTerms() terms: Terms,
  ): Promise<Answer> {
    return Answer.started(this.storage.createRepository(input, terms), terms);
  }

  @PatchRoute(storageRepositoryModel, {
    summary: 'Rename a storage repository',
    errors: [repositoryNameTaken],
  })
  patch(
    @ObjectId() id: string,
    @Input(patchStorageRepositoryInput) input: PatchStorageRepositoryInput,
    @RequestTerms() terms: Terms,
  ): Promise<Answer> {
    const writing = this.storage.patchRepository(id, input, terms);
    return Answer.written(writing, () => readOne(this.reader, storageRepositoryModel, id));
  }

  @OperationRoute('DELETE', ':id', deleteStorageRepository, {
    summary: 'Delete a storage repository',
    output: operationView,
  })
  delete(@ObjectId() id: string, @RequestTerms() terms: Terms): Promise<Answer> {
    return Answer.started(this.storage.deleteRepository(id, terms), terms);
  }
}
