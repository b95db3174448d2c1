import { Args, Info, Mutation, Resolver } from '@nestjs/graphql';
import { type GraphQLResolveInfo } from 'graphql';
import { IdArg, InputArg } from '../../../api/graphql/arguments.js';
import {
  ConnectionArgs,
  ConnectionQuery,
  ObjectQuery,
  readConnection,
  readObject,
} from '../../../api/graphql/connection.js';
import { AskedTerms, type MutationTerms, toldField } from '../../../api/graphql/terms.js';
import { objectType } from '../../../api/graphql/type-of-schema.js';
import { Reader } from '../../../kernel/database/reader.js';
import {
  type CreateEnrolmentTokenInput,
  createEnrolmentTokenInput,
  type EnrolmentToken,
  enrolmentToken,
} from '../enrolment-token.schema.js';
import { EnrolmentTokenService } from '../enrolment-token.service.js';
import { hostModel } from '../host.queries.js';

const EnrolmentTokenType = objectType(enrolmentToken);

@Resolver()
export class HostResolver {
  constructor(
    private readonly reader: Reader,
    private readonly tokens: EnrolmentTokenService,
  ) {}

  @ConnectionQuery(hostModel)
  hosts(@Args() args: ConnectionArgs, @Info() info: GraphQLResolveInfo): Promise<object> {
    return readConnection(this.reader, hostModel, args, info);
  }

  @ObjectQuery(hostModel)
  host(@IdArg() id: string, @Info() info: GraphQLResolveInfo): Promise<object> {
    return readObject(this.reader, hostModel, id, info);
  }

  @Mutation(() => EnrolmentTokenType)
  createEnrolmentToken(
    @IdArg('poolId') poolId: string,
    @InputArg(createEnrolmentTokenInput) input: CreateEnrolmentTokenInput,
    @AskedTerms() terms: MutationTerms,
  ): Promise<EnrolmentToken | null> {
    return toldField(this.tokens.create(poolId, input, terms), terms);
  }
}
