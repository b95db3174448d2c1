import { Controller } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { Answer } from '../../../api/rest/answer.js';
import { Input, nothing, ObjectId, QueryInput } from '../../../api/rest/parameters.js';
import { readList, readOne } from '../../../api/rest/read.js';
import { ListRoute, ReadRoute, VerbRoute } from '../../../api/rest/routes.js';
import { RequestTerms } from '../../../api/rest/terms.js';
import { Reader } from '../../../kernel/database/reader.js';
import { type Terms, type Written } from '../../../kernel/operations/terms.js';
import { type ListQuery, listQuery, type OneQuery, oneQuery } from '../../../kernel/schema/page.js';
import { operationBadState, operationNotFound, operationPastNoReturn } from '../operation.errors.js';
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
    path: ':id/cancel',
    summary: 'Take an operation back, unless it is past its point of no return',
    output: operationView,
    errors: [operationNotFound, operationBadState, operationPastNoReturn],
  })
  cancel(@ObjectId() id: string, @Input(nothing) _: object, @RequestTerms() terms: Terms): Promise<Answer> {
    return this.written(id, this.operations.cancel(id, terms));
  }

  @VerbRoute({
    path: ':id/retry',
    summary: 'Let an operation that needs attention go on where it was',
    output: operationView,
    errors: [operationNotFound, operationBadState],
  })
  retry(@ObjectId() id: string, @Input(nothing) _: object, @RequestTerms() terms: Terms): Promise<Answer> {
    return this.written(id, this.operations.retry(id, terms));
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
    return this.written(id, this.operations.resolve(id, input, terms));
  }

  private written(id: string, writing: Promise<Written>): Promise<Answer> {
    return Answer.written(writing, () => readOne(this.reader, operationModel, id));
  }
}
