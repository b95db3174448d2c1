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
import { volumeModel } from '../storage.queries.js';
import {
  type CreateVolumeInput,
  createVolumeInput,
  type PatchVolumeInput,
  patchVolumeInput,
} from '../storage.schema.js';
import { StorageService } from '../storage.service.js';
import { createVolume, deleteVolume } from '../operations/index.js';

@ApiTags('volumes')
@Controller('v1/volumes')
export class VolumeController {
  constructor(
    private readonly reader: Reader,
    private readonly storage: StorageService,
  ) {}

  @ListRoute(volumeModel)
  list(@QueryInput(listQuery) query: ListQuery): Promise<Answer> {
    return readList(this.reader, volumeModel, query);
  }

  @ReadRoute(volumeModel)
  one(@ObjectId() id: string, @QueryInput(oneQuery) query: OneQuery): Promise<Answer> {
    return readOne(this.reader, volumeModel, id, query);
  }

  @OperationRoute('POST', '', createVolume, { summary: 'Create a volume', output: operationView })
  create(@Input(createVolumeInput) input: CreateVolumeInput, @RequestTerms() terms: Terms): Promise<Answer> {
    return Answer.started(this.storage.createVolume(input, terms), terms);
  }

  @PatchRoute(volumeModel, { summary: 'Rename a volume' })
  patch(
    @ObjectId() id: string,
    @Input(patchVolumeInput) input: PatchVolumeInput,
    @RequestTerms() terms: Terms,
  ): Promise<Answer> {
    const writing = this.storage.patchVolume(id, input, terms);
    return Answer.written(writing, () => readOne(this.reader, volumeModel, id));
  }

  @OperationRoute('DELETE', ':id', deleteVolume, { summary: 'Delete a volume', output: operationView })
  delete(@ObjectId() id: string, @RequestTerms() terms: Terms): Promise<Answer> {
    return Answer.started(this.storage.deleteVolume(id, terms), terms);
  }
}
