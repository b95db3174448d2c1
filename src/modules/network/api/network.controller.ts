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
  create(
    @Input(createNetworkInput) input: CreateNetworkInput,
    @RequestTerms() terms: Terms,
  ): Promise<Answer> {
    return Answer.started(this.networks.create(input, terms), terms);
  }

  @PatchRoute(networkModel, { summary: 'Rename a network', errors: [networkNameTaken] })
  patch(
    @ObjectId() id: string,
    @Input(patchNetworkInput) input: PatchNetworkInput,
    @RequestTerms() terms: Terms,
  ): Promise<Answer> {
    const writing = this.networks.patch(id, input, terms);
    return Answer.written(writing, () => readOne(this.reader, networkModel, id));
  }

  @OperationRoute('DELETE', ':id', deleteNetwork, { summary: 'Delete a network', output: operationView })
  delete(@ObjectId() id: string, @RequestTerms() terms: Terms): Promise<Answer> {
    return Answer.started(this.networks.delete(id, terms), terms);
  }
}
