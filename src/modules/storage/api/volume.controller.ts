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
  async create(
    @Input(createVolumeInput) input: CreateVolumeInput,
    @QueryInput(operationQuery) query: OperationQuery,
    @CurrentCaller() caller: Caller,
  ): Promise<Answer> {
    return Answer.operation(await this.storage.createVolume(input, caller, query));
  }

  @PatchRoute(volumeModel, { summary: 'Rename a volume' })
  async patch(
    @ObjectId() id: string,
    @Input(patchVolumeInput) input: PatchVolumeInput,
    @IfMatch() expected: ExpectedRevision,
  ): Promise<Answer> {
    await this.storage.patchVolume(id, input, expected);
    return readOne(this.reader, volumeModel, id);
  }

  @OperationRoute('DELETE', ':id', deleteVolume, { summary: 'Delete a volume', output: operationView })
  async delete(
    @ObjectId() id: string,
    @QueryInput(operationQuery) query: OperationQuery,
    @IfMatch() expected: ExpectedRevision,
    @CurrentCaller() caller: Caller,
  ): Promise<Answer> {
    return Answer.operation(await this.storage.deleteVolume(id, expected, caller, query));
  }
}
