import { Controller, Req } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { type FastifyRequest } from 'fastify';
import { Answer } from '../../../api/rest/answer.js';
import { CurrentCaller, Input, ObjectId, QueryInput } from '../../../api/rest/parameters.js';
import { readList, readOne } from '../../../api/rest/read.js';
import { CreateRoute, ListRoute, ReadRoute, TextRoute } from '../../../api/rest/routes.js';
import { webSocketUrl } from '../../../api/upgrades.js';
import { Reader } from '../../../kernel/database/reader.js';
import { hostUnreachable } from '../../../kernel/errors/problems.js';
import { type Caller } from '../../../kernel/operations/caller.js';
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
    errors: [consoleNotFound, domainBadState, hostUnreachable],
  })
  async createSession(
    @ObjectId() id: string,
    @Input(createConsoleSessionInput) input: CreateConsoleSessionInput,
    @CurrentCaller() caller: Caller,
    @Req() request: FastifyRequest,
  ): Promise<Answer> {
    const session = await this.consoles.createSession(id, input.mode, caller, (path) =>
      webSocketUrl(request, path),
    );
    return Answer.json(JSON.stringify(session), 201, { 'cache-control': 'no-store' });
  }
}
