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
import { networkNameTaken } from '../network.errors.js';
import { networkModel } from '../network.queries.js';
import {
  type CreateNetworkInput,
  createNetworkInput,
  type PatchNetworkInput,
  patchNetworkInput,
} from '../network.schema.js';
import { NetworkService } from '../network.service.js';
import { createNetwork, deleteNetwork } from '../operations/index.js';

@ApiTags('networks')
@Controller('v1/networks')
export class NetworkController {
  constructor(
    private readonly reader: Reader,
    private readonly networks: NetworkService,
  ) {}

  @ListRoute(networkModel)
  list(@QueryInput(listQuery) query: ListQuery): Promise<Answer> {
    return readList(this.reader, networkModel, query);
  }

  @ReadRoute(networkModel)
  one(@ObjectId() id: string, @QueryInput(oneQuery) query: OneQuery): Promise<Answer> {
    return readOne(this.reader, networkModel, id, query);
  }

  @OperationRoute('POST', '', createNetwork, { summary: 'Create a network', output: operationView })
  async create(
    @Input(createNetworkInput) input: CreateNetworkInput,
    @QueryInput(operationQuery) query: OperationQuery,
    @CurrentCaller() caller: Caller,
  ): Promise<Answer> {
    return Answer.operation(await this.networks.create(input, caller, query));
  }

  @PatchRoute(networkModel, { summary: 'Rename a network', errors: [networkNameTaken] })
  async patch(
    @ObjectId() id: string,
    @Input(patchNetworkInput) input: PatchNetworkInput,
    @IfMatch() expected: ExpectedRevision,
  ): Promise<Answer> {
    await this.networks.patch(id, input, expected);
    return readOne(this.reader, networkModel, id);
  }

  @OperationRoute('DELETE', ':id', deleteNetwork, { summary: 'Delete a network', output: operationView })
  async delete(
    @ObjectId() id: string,
    @QueryInput(operationQuery) query: OperationQuery,
    @IfMatch() expected: ExpectedRevision,
    @CurrentCaller() caller: Caller,
  ): Promise<Answer> {
    return Answer.operation(await this.networks.delete(id, expected, caller, query));
  }
}
