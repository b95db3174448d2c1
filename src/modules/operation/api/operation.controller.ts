import { Controller } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { Answer } from '../../../api/rest/answer.js';
import { Input, nothing, ObjectId, QueryInput } from '../../../api/rest/parameters.js';
import { readList, readOne } from '../../../api/rest/read.js';
import { ListRoute, ReadRoute, VerbRoute } from '../../../api/rest/routes.js';
import { RequestTerms } from '../../../api/rest/terms.js';
import { Reader } from '../../../kernel/database/reader.js';
import { defaultSelection } from '../../../kernel/database/selection.js';
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
    waits: true,
    errors: [operationNotFound, operationBadState, operationPastNoReturn],
  })
  cancel(@ObjectId() id: string, @Input(nothing) _: object, @RequestTerms() terms: Terms): Promise<Answer> {
    return this.answer(this.operations.cancel(id, terms), terms);
  }

  @VerbRoute({
    path: ':id/retry',
    summary: 'Let an operation that needs attention go on where it was',
    output: operationView,
    waits: true,
    errors: [operationNotFound, operationBadState],
  })
  retry(@ObjectId() id: string, @Input(nothing) _: object, @RequestTerms() terms: Terms): Promise<Answer> {
    return this.answer(this.operations.retry(id, terms), terms);
  }

  @VerbRoute({
    path: ':id/resolve',
    summary: 'Say what came of an operation that needs attention',
    output: operationView,
    waits: true,
    errors: [operationNotFound, operationBadState],
  })
  resolve(
    @ObjectId() id: string,
    @Input(resolveOperationInput) input: ResolveOperationInput,
    @RequestTerms() terms: Terms,
  ): Promise<Answer> {
    return this.answer(this.operations.resolve(id, input, terms), terms);
  }

  private answer(writing: Promise<Written>, terms: Terms): Promise<Answer> {
    if (terms.waitSeconds === null)
      return Answer.written(writing, (id) => readOne(this.reader, operationModel, id));
    const whole = defaultSelection(operationModel);
    return Answer.settled(writing, terms, (id) => this.reader.get(operationModel, id, whole));
  }
}
