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
import { AskedTerms, type MutationTerms, startedField, writtenField } from '../../../api/graphql/terms.js';
import { Reader } from '../../../kernel/database/reader.js';
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
  resetDomain,
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
    @AskedTerms({ operation: true }) terms: MutationTerms,
  ): Promise<object | null> {
    return startedField(this.service.create(input, terms), terms);
  }

  @Mutation(() => modelType(domainModel))
  updateDomain(
    @IdArg() id: string,
    @AskedTerms({ revision: true }) terms: MutationTerms,
    @InputArg(patchDomainInput) input: PatchDomainInput,
    @Info() info: GraphQLResolveInfo,
  ): Promise<object | null> {
    const writing = this.service.patch(id, input, terms);
    return writtenField(writing, terms, () => readObject(this.reader, domainModel, id, info));
  }

  @Mutation(() => modelType(operationModel))
  deleteDomain(
    @IdArg() domainId: string,
    @AskedTerms({ revision: true, operation: true }) terms: MutationTerms,
  ): Promise<object | null> {
    return startedField(
      this.service.begin(deleteDomain, { domainId, expected: terms.expected }, terms),
      terms,
    );
  }

  @Mutation(() => modelType(operationModel))
  startDomain(
    @IdArg() domainId: string,
    @AskedTerms({ revision: true, operation: true }) terms: MutationTerms,
  ): Promise<object | null> {
    return startedField(
      this.service.begin(startDomain, { domainId, expected: terms.expected }, terms),
      terms,
    );
  }

  @Mutation(() => modelType(operationModel))
  shutdownDomain(
    @IdArg() domainId: string,
    @InputArg(shutdownDomainInput, { optional: true }) input: ShutdownDomainInput,
    @AskedTerms({ revision: true, operation: true }) terms: MutationTerms,
  ): Promise<object | null> {
    return startedField(
      this.service.begin(shutdownDomain, { ...input, domainId, expected: terms.expected }, terms),
      terms,
    );
  }

  @Mutation(() => modelType(operationModel))
  rebootDomain(
    @IdArg() domainId: string,
    @InputArg(shutdownDomainInput, { optional: true }) input: ShutdownDomainInput,
    @AskedTerms({ revision: true, operation: true }) terms: MutationTerms,
  ): Promise<object | null> {
    return startedField(
      this.service.begin(rebootDomain, { ...input, domainId, expected: terms.expected }, terms),
      terms,
    );
  }

  @Mutation(() => modelType(operationModel))
  pauseDomain(
    @IdArg() domainId: string,
    @AskedTerms({ revision: true, operation: true }) terms: MutationTerms,
  ): Promise<object | null> {
    return startedField(
      this.service.begin(pauseDomain, { domainId, expected: terms.expected }, terms),
      terms,
    );
  }

  @Mutation(() => modelType(operationModel))
  resumeDomain(
    @IdArg() domainId: string,
    @AskedTerms({ revision: true, operation: true }) terms: MutationTerms,
  ): Promise<object | null> {
    return startedField(
      this.service.begin(resumeDomain, { domainId, expected: terms.expected }, terms),
      terms,
    );
  }

  @Mutation(() => modelType(operationModel))
  resetDomain(
    @IdArg() domainId: string,
    @AskedTerms({ revision: true, operation: true }) terms: MutationTerms,
  ): Promise<object | null> {
    return startedField(
      this.service.begin(resetDomain, { domainId, expected: terms.expected }, terms),
      terms,
    );
  }

  @Mutation(() => modelType(operationModel))
  forceOffDomain(
    @IdArg() domainId: string,
    @AskedTerms({ revision: true, operation: true }) terms: MutationTerms,
  ): Promise<object | null> {
    return startedField(
      this.service.begin(forceOffDomain, { domainId, expected: terms.expected }, terms),
      terms,
    );
  }
}
