import { Controller } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { Answer } from '../../../api/rest/answer.js';
import { Input, ObjectId, QueryInput } from '../../../api/rest/parameters.js';
import { readList, readOne } from '../../../api/rest/read.js';
import { ListRoute, ReadRoute, VerbRoute } from '../../../api/rest/routes.js';
import { RequestTerms } from '../../../api/rest/terms.js';
import { Reader } from '../../../kernel/database/reader.js';
import { type Terms } from '../../../kernel/operations/terms.js';
import { type ListQuery, listQuery, type OneQuery, oneQuery } from '../../../kernel/schema/page.js';
import { operationBadState, operationNotFound } from '../operation.errors.js';
import { operationModel } from '../operation.queries.js';
import { operationView, type ResolveOperationInput, resolveOperationInput } from '../operation.schema.js';
import { OperationService } from '../operation.service.js';

@ApiTags('operations')
@Controller('v1/operations')
export class OperationController {
  constructor(
    private readonly reader: Reader,
    private readonly operations: OperationService,
  ) {}

  @ListRoute(operationModel)
  list(@QueryInput(listQuery) query: ListQuery): Promise<Answer> {
    return readList(this.reader, operationModel, query);
  }

  @ReadRoute(operationModel)
  one(@ObjectId() id: string, @QueryInput(oneQuery) query: OneQuery): Promise<Answer> {
    return readOne(this.reader, operationModel, id, query);
  }

  @VerbRoute({
    path: ':id/resolve',
    summary: 'Say what came of an operation that needs attention',
    output: operationView,
    errors: [operationNotFound, operationBadState],
  })
  resolve(
    @ObjectId() id: string,
    @Input(resolveOperationInput) input: ResolveOperationInput,
    @RequestTerms() terms: Terms,
  ): Promise<Answer> {
    const writing = this.operations.resolve(id, input, terms);
    return Answer.written(writing, () => readOne(this.reader, operationModel, id));
  }
}
