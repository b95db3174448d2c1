import { Args, Info, Resolver } from '@nestjs/graphql';
import { type GraphQLResolveInfo } from 'graphql';
import { IdArg } from '../../../api/graphql/arguments.js';
import {
  ConnectionArgs,
  ConnectionQuery,
  ObjectQuery,
  readConnection,
  readObject,
} from '../../../api/graphql/connection.js';
import { Reader } from '../../../kernel/database/reader.js';
import { operationModel } from '../operation.queries.js';

@Resolver()
export class OperationResolver {
  constructor(private readonly reader: Reader) {}

  @ConnectionQuery(operationModel)
  operations(@Args() args: ConnectionArgs, @Info() info: GraphQLResolveInfo): Promise<object> {
    return readConnection(this.reader, operationModel, args, info);
  }

  @ObjectQuery(operationModel)
  operation(@IdArg() id: string, @Info() info: GraphQLResolveInfo): Promise<object> {
    return readObject(this.reader, operationModel, id, info);
  }
}
