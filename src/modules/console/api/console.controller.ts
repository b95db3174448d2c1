import { Controller, Req } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { type FastifyRequest } from 'fastify';
import { Answer } from '../../../api/rest/answer.js';
import { Input, ObjectId, QueryInput } from '../../../api/rest/parameters.js';
import { readList, readOne } from '../../../api/rest/read.js';
import { CreateRoute, ListRoute, ReadRoute, TextRoute } from '../../../api/rest/routes.js';
import { RequestTerms } from '../../../api/rest/terms.js';
import { webSocketUrl } from '../../../api/upgrades.js';
import { Reader } from '../../../kernel/database/reader.js';
import { hostUnreachable } from '../../../kernel/errors/problems.js';
import { idempotencyAnswerGone } from '../../../kernel/operations/idempotency.js';
import { type Terms } from '../../../kernel/operations/terms.js';
import { type ListQuery, listQuery, type OneQuery, oneQuery } from '../../../kernel/schema/page.js';
import { consoleNotFound, domainBadState } from '../console.errors.js';
import { consoleModel } from '../console.queries.js';
import {
  type ConsoleLogQuery,
  consoleLogQuery,
  consoleSession,
  type CreateConsoleSessionInput,
  createConsoleSessionInput,
} from '../console.schema.js';
import { ConsoleService } from '../console.service.js';

@ApiTags('consoles')
@Controller('v1/consoles')
export class ConsoleController {
  constructor(
    private readonly reader: Reader,
    private readonly consoles: ConsoleService,
  ) {}

  @ListRoute(consoleModel)
  list(@QueryInput(listQuery) query: ListQuery): Promise<Answer> {
    return readList(this.reader, consoleModel, query);
  }

  @ReadRoute(consoleModel)
  one(@ObjectId() id: string, @QueryInput(oneQuery) query: OneQuery): Promise<Answer> {
    return readOne(this.reader, consoleModel, id, query);
  }

  @TextRoute(':id/log', {
    summary: 'The last lines of the log',
    query: consoleLogQuery,
    errors: [consoleNotFound, hostUnreachable],
  })
  async log(@ObjectId() id: string, @QueryInput(consoleLogQuery) { tail }: ConsoleLogQuery): Promise<Answer> {
    return Answer.text(await this.consoles.log(id, tail));
  }

  @CreateRoute({
    path: ':id/sessions',
    summary: 'Create the right to connect once, within 30 s',
    output: consoleSession,
    errors: [consoleNotFound, domainBadState, hostUnreachable, idempotencyAnswerGone],
  })
  createSession(
    @ObjectId() id: string,
    @Input(createConsoleSessionInput) input: CreateConsoleSessionInput,
    @RequestTerms() terms: Terms,
    @Req() request: FastifyRequest,
  ): Promise<Answer> {
    const urlOf = (path: string): string => webSocketUrl(request, path);
    return Answer.told(this.consoles.createSession(id, input.mode, terms, urlOf));
  }
}
