import { Args, Info, Int, Mutation, Query, Resolver } from '@nestjs/graphql';
import { type GraphQLResolveInfo } from 'graphql';
import { IdArg, InputArg, type UrlOf, WebSocketUrl } from '../../../api/graphql/arguments.js';
import {
  ConnectionArgs,
  ConnectionQuery,
  ObjectQuery,
  readConnection,
  readObject,
} from '../../../api/graphql/connection.js';
import { AskedTerms, type MutationTerms, toldField } from '../../../api/graphql/terms.js';
import { objectType } from '../../../api/graphql/type-of-schema.js';
import { parseInput } from '../../../api/parse-input.js';
import { Reader } from '../../../kernel/database/reader.js';
import { consoleModel } from '../console.queries.js';
import {
  consoleLogQuery,
  type ConsoleSession,
  consoleSession,
  type CreateConsoleSessionInput,
  createConsoleSessionInput,
} from '../console.schema.js';
import { ConsoleService } from '../console.service.js';

/** Made before the schema is: a type that is first asked for while it is built comes too late. */
const ConsoleSessionType = objectType(consoleSession);

@Resolver()
export class ConsoleResolver {
  constructor(
    private readonly reader: Reader,
    private readonly service: ConsoleService,
  ) {}

  @ConnectionQuery(consoleModel)
  consoles(@Args() args: ConnectionArgs, @Info() info: GraphQLResolveInfo): Promise<object> {
    return readConnection(this.reader, consoleModel, args, info);
  }

  @ObjectQuery(consoleModel)
  console(@IdArg() id: string, @Info() info: GraphQLResolveInfo): Promise<object> {
    return readObject(this.reader, consoleModel, id, info);
  }

  @Query(() => String, { description: 'The last lines of the log, oldest first.' })
  consoleLog(
    @IdArg() id: string,
    @Args('tail', { type: () => Int, nullable: true }) tail: number | null | undefined,
  ): Promise<string> {
    const query = parseInput(consoleLogQuery, { tail: tail ?? undefined }, '', 'arguments');
    return this.service.log(id, query.tail);
  }

  @Mutation(() => ConsoleSessionType, { description: 'The right to connect once, within 30 s.' })
  createConsoleSession(
    @IdArg() id: string,
    @InputArg(createConsoleSessionInput) input: CreateConsoleSessionInput,
    @AskedTerms() terms: MutationTerms,
    @WebSocketUrl() urlOf: UrlOf,
  ): Promise<ConsoleSession | null> {
    return toldField(this.service.createSession(id, input.mode, terms, urlOf), terms);
  }
}
