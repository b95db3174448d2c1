import { Args, Info, Mutation, Resolver } from '@nestjs/graphql';
import { type GraphQLResolveInfo } from 'graphql';
import { IdArg, InputArg } from '../../../api/graphql/arguments.js';
import {
  ConnectionArgs,
  ConnectionQuery,
  modelType,
  ObjectQuery,
  readConnection,
  readObject,
} from '../../../api/graphql/connection.js';
import { AskedTerms, type MutationTerms, writtenField } from '../../../api/graphql/terms.js';
import { Reader } from '../../../kernel/database/reader.js';
import { operationModel } from '../operation.queries.js';
import { type ResolveOperationInput, resolveOperationInput } from '../operation.schema.js';
import { OperationService } from '../operation.service.js';

@Resolver()
export class OperationResolver {
  constructor(
    private readonly reader: Reader,
    private readonly service: OperationService,
  ) {}

  @ConnectionQuery(operationModel)
  operations(@Args() args: ConnectionArgs, @Info() info: GraphQLResolveInfo): Promise<object> {
    return readConnection(this.reader, operationModel, args, info);
  }

  @ObjectQuery(operationModel)
  operation(@IdArg() id: string, @Info() info: GraphQLResolveInfo): Promise<object> {
    return readObject(this.reader, operationModel, id, info);
  }

  @Mutation(() => modelType(operationModel))
  resolveOperation(
    @IdArg() id: string,
    @InputArg(resolveOperationInput) input: ResolveOperationInput,
    @AskedTerms() terms: MutationTerms,
    @Info() info: GraphQLResolveInfo,
  ): Promise<object | null> {
    const writing = this.service.resolve(id, input, terms);
    return writtenField(writing, terms, () => readObject(this.reader, operationModel, id, info));
  }
}
