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
import { hostModel } from '../host.queries.js';

@Resolver()
export class HostResolver {
  constructor(private readonly reader: Reader) {}

  @ConnectionQuery(hostModel)
  hosts(@Args() args: ConnectionArgs, @Info() info: GraphQLResolveInfo): Promise<object> {
    return readConnection(this.reader, hostModel, args, info);
  }

  @ObjectQuery(hostModel)
  host(@IdArg() id: string, @Info() info: GraphQLResolveInfo): Promise<object> {
    return readObject(this.reader, hostModel, id, info);
  }
}
