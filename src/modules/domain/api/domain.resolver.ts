import { Args, Info, Mutation, Resolver } from '@nestjs/graphql';
import { type GraphQLResolveInfo } from 'graphql';
import { GraphqlCaller, IdArg, InputArg, OnBusyArg, RevisionArg } from '../../../api/graphql/arguments.js';
import {
  ConnectionArgs,
  ConnectionQuery,
  modelType,
  ObjectQuery,
  readConnection,
  readObject,
} from '../../../api/graphql/connection.js';
import { Reader } from '../../../kernel/database/reader.js';
import { type Caller } from '../../../kernel/operations/caller.js';
import { type OnBusy } from '../../../kernel/schema/on-busy.js';
import { type ExpectedRevision } from '../../../kernel/schema/revision.js';
import { operationModel } from '../../operation/index.js';
import { domainModel } from '../domain.queries.js';
import {
  type CreateDomainInput,
  createDomainInput,
  type PatchDomainInput,
  patchDomainInput,
  type ShutdownDomainInput,
  shutdownDomainInput,
} from '../domain.schema.js';
import { DomainService } from '../domain.service.js';
import {
  deleteDomain,
  forceOffDomain,
  pauseDomain,
  rebootDomain,
  resumeDomain,
  shutdownDomain,
  startDomain,
} from '../operations/index.js';

@Resolver()
export class DomainResolver {
  constructor(
    private readonly reader: Reader,
    private readonly service: DomainService,
  ) {}

  @ConnectionQuery(domainModel)
  domains(@Args() args: ConnectionArgs, @Info() info: GraphQLResolveInfo): Promise<object> {
    return readConnection(this.reader, domainModel, args, info);
  }

  @ObjectQuery(domainModel)
  domain(@IdArg() id: string, @Info() info: GraphQLResolveInfo): Promise<object> {
    return readObject(this.reader, domainModel, id, info);
  }

  @Mutation(() => modelType(operationModel))
  createDomain(
    @InputArg(createDomainInput) input: CreateDomainInput,
    @OnBusyArg() onBusy: OnBusy,
    @GraphqlCaller() caller: Caller,
  ): Promise<object> {
    return this.service.create(input, caller, { onBusy });
  }

  @Mutation(() => modelType(domainModel))
  async updateDomain(
    @IdArg() id: string,
    @RevisionArg() expected: ExpectedRevision,
    @InputArg(patchDomainInput) input: PatchDomainInput,
    @Info() info: GraphQLResolveInfo,
  ): Promise<object> {
    await this.service.patch(id, input, expected);
    return readObject(this.reader, domainModel, id, info);
  }

  @Mutation(() => modelType(operationModel))
  deleteDomain(
    @IdArg() domainId: string,
    @RevisionArg() expected: ExpectedRevision,
    @OnBusyArg() onBusy: OnBusy,
    @GraphqlCaller() caller: Caller,
  ): Promise<object> {
    return this.service.begin(deleteDomain, { domainId, expected }, caller, { onBusy });
  }

  @Mutation(() => modelType(operationModel))
  startDomain(
    @IdArg() domainId: string,
    @RevisionArg() expected: ExpectedRevision,
    @OnBusyArg() onBusy: OnBusy,
    @GraphqlCaller() caller: Caller,
  ): Promise<object> {
    return this.service.begin(startDomain, { domainId, expected }, caller, { onBusy });
  }

  @Mutation(() => modelType(operationModel))
  shutdownDomain(
    @IdArg() domainId: string,
    @InputArg(shutdownDomainInput, { optional: true }) input: ShutdownDomainInput,
    @RevisionArg() expected: ExpectedRevision,
    @OnBusyArg() onBusy: OnBusy,
    @GraphqlCaller() caller: Caller,
  ): Promise<object> {
    return this.service.begin(shutdownDomain, { ...input, domainId, expected }, caller, { onBusy });
  }

  @Mutation(() => modelType(operationModel))
  rebootDomain(
    @IdArg() domainId: string,
    @InputArg(shutdownDomainInput, { optional: true }) input: ShutdownDomainInput,
    @RevisionArg() expected: ExpectedRevision,
    @OnBusyArg() onBusy: OnBusy,
    @GraphqlCaller() caller: Caller,
  ): Promise<object> {
    return this.service.begin(rebootDomain, { ...input, domainId, expected }, caller, { onBusy });
  }

  @Mutation(() => modelType(operationModel))
  pauseDomain(
    @IdArg() domainId: string,
    @RevisionArg() expected: ExpectedRevision,
    @OnBusyArg() onBusy: OnBusy,
    @GraphqlCaller() caller: Caller,
  ): Promise<object> {
    return this.service.begin(pauseDomain, { domainId, expected }, caller, { onBusy });
  }

  @Mutation(() => modelType(operationModel))
  resumeDomain(
    @IdArg() domainId: string,
    @RevisionArg() expected: ExpectedRevision,
    @OnBusyArg() onBusy: OnBusy,
    @GraphqlCaller() caller: Caller,
  ): Promise<object> {
    return this.service.begin(resumeDomain, { domainId, expected }, caller, { onBusy });
  }

  @Mutation(() => modelType(operationModel))
  forceOffDomain(
    @IdArg() domainId: string,
    @RevisionArg() expected: ExpectedRevision,
    @OnBusyArg() onBusy: OnBusy,
    @GraphqlCaller() caller: Caller,
  ): Promise<object> {
    return this.service.begin(forceOffDomain, { domainId, expected }, caller, { onBusy });
  }
}
