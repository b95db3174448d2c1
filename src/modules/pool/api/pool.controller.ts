import { Controller } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { Answer } from '../../../api/rest/answer.js';
import { Input, ObjectId, QueryInput } from '../../../api/rest/parameters.js';
import { readList, readOne } from '../../../api/rest/read.js';
import { CreateRoute, ListRoute, PatchRoute, ReadRoute } from '../../../api/rest/routes.js';
import { RequestTerms } from '../../../api/rest/terms.js';
import { Reader } from '../../../kernel/database/reader.js';
import { defaultSelection } from '../../../kernel/database/selection.js';
import { type Terms } from '../../../kernel/operations/terms.js';
import { type ListQuery, listQuery, type OneQuery, oneQuery } from '../../../kernel/schema/page.js';
import { poolExists } from '../pool.errors.js';
import { poolModel } from '../pool.queries.js';
import {
  type CreatePoolInput,
  createPoolInput,
  type PatchPoolInput,
  patchPoolInput,
  pool,
} from '../pool.schema.js';
import { PoolService } from '../pool.service.js';

@ApiTags('pools')
@Controller('v1/pools')
export class PoolController {
  constructor(
    private readonly reader: Reader,
    private readonly pools: PoolService,
  ) {}

  @ListRoute(poolModel)
  list(@QueryInput(listQuery) query: ListQuery): Promise<Answer> {
    return readList(this.reader, poolModel, query);
  }

  @ReadRoute(poolModel)
  one(@ObjectId() id: string, @QueryInput(oneQuery) query: OneQuery): Promise<Answer> {
    return readOne(this.reader, poolModel, id, query);
  }

  @CreateRoute({ summary: 'Create a pool', output: pool, errors: [poolExists] })
  create(@Input(createPoolInput) input: CreatePoolInput, @RequestTerms() terms: Terms): Promise<Answer> {
    return Answer.written(this.pools.create(input, terms), async (id) => {
      const made = await this.reader.get(poolModel, id, defaultSelection(poolModel));
      return Answer.created(`/v1/pools/${id}`, made);
    });
  }

  @PatchRoute(poolModel, { summary: 'Change a pool', errors: [poolExists] })
  patch(
    @ObjectId() id: string,
    @Input(patchPoolInput) input: PatchPoolInput,
    @RequestTerms() terms: Terms,
  ): Promise<Answer> {
    return Answer.written(this.pools.patch(id, input, terms), () => readOne(this.reader, poolModel, id));
  }
}
