import { Controller } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { type Answer } from '../../../api/rest/answer.js';
import { ObjectId, QueryInput } from '../../../api/rest/parameters.js';
import { readList, readOne } from '../../../api/rest/read.js';
import { ListRoute, ReadRoute } from '../../../api/rest/routes.js';
import { Reader } from '../../../kernel/database/reader.js';
import { type ListQuery, listQuery, type OneQuery, oneQuery } from '../../../kernel/schema/page.js';
import { operationModel } from '../operation.queries.js';

@ApiTags('operations')
@Controller('v1/operations')
export class OperationController {
  constructor(private readonly reader: Reader) {}

  @ListRoute(operationModel)
  list(@QueryInput(listQuery) query: ListQuery): Promise<Answer> {
    return readList(this.reader, operationModel, query);
  }

  @ReadRoute(operationModel)
  one(@ObjectId() id: string, @QueryInput(oneQuery) query: OneQuery): Promise<Answer> {
    return readOne(this.reader, operationModel, id, query);
  }
}
