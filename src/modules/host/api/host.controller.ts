import { Controller } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { type Answer } from '../../../api/rest/answer.js';
import { ObjectId, QueryInput } from '../../../api/rest/parameters.js';
import { readList, readOne } from '../../../api/rest/read.js';
import { ListRoute, ReadRoute } from '../../../api/rest/routes.js';
import { Reader } from '../../../kernel/database/reader.js';
import { type ListQuery, listQuery, type OneQuery, oneQuery } from '../../../kernel/schema/page.js';
import { hostModel } from '../host.queries.js';

@ApiTags('hosts')
@Controller('v1/hosts')
export class HostController {
  constructor(private readonly reader: Reader) {}

  @ListRoute(hostModel)
  list(@QueryInput(listQuery) query: ListQuery): Promise<Answer> {
    return readList(this.reader, hostModel, query);
  }

  @ReadRoute(hostModel)
  one(@ObjectId() id: string, @QueryInput(oneQuery) query: OneQuery): Promise<Answer> {
    return readOne(this.reader, hostModel, id, query);
  }
}
