import { Mutation, Resolver } from '@nestjs/graphql';
import { IdArg, InputArg } from '../../../api/graphql/arguments.js';
import { modelType } from '../../../api/graphql/connection.js';
import { AskedTerms, type MutationTerms, startedField } from '../../../api/graphql/terms.js';
import { type OperationView } from '../../../kernel/operations/operation-view.js';
import { operationModel } from '../../operation/index.js';
import {
  type AdjustControlDomainInput,
  adjustControlDomainInput,
  type DeclareDeadInput,
  declareDeadInput,
} from '../maintenance.schema.js';
import { MaintenanceService } from '../maintenance.service.js';

@Resolver()
export class MaintenanceResolver {
  constructor(private readonly maintenance: MaintenanceService) {}

  @Mutation(() => modelType(operationModel))
  declareHostDead(
    @IdArg() id: string,
    @InputArg(declareDeadInput) input: DeclareDeadInput,
    @AskedTerms({ revision: true, operation: true }) terms: MutationTerms,
  ): Promise<OperationView | null> {
    return startedField(this.maintenance.declareDead(id, input, terms), terms);
  }

  @Mutation(() => modelType(operationModel))
  adjustControlDomain(
    @IdArg() id: string,
    @InputArg(adjustControlDomainInput) input: AdjustControlDomainInput,
    @AskedTerms({ revision: true, operation: true }) terms: MutationTerms,
  ): Promise<OperationView | null> {
    return startedField(this.maintenance.adjustControlDomain(id, input, terms), terms);
  }
}
