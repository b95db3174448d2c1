import { Controller } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { Answer } from '../../../api/rest/answer.js';
import { Input, ObjectId } from '../../../api/rest/parameters.js';
import { OperationRoute } from '../../../api/rest/routes.js';
import { RequestTerms } from '../../../api/rest/terms.js';
import { type Terms } from '../../../kernel/operations/terms.js';
import { operationView } from '../../operation/index.js';
import {
  type AdjustControlDomainInput,
  adjustControlDomainInput,
  type DeclareDeadInput,
  declareDeadInput,
} from '../maintenance.schema.js';
import { MaintenanceService } from '../maintenance.service.js';
import { adjustControlDomain, declareHostDead } from '../operations/index.js';

@ApiTags('hosts')
@Controller('v1/hosts')
export class MaintenanceController {
  constructor(private readonly maintenance: MaintenanceService) {}

  @OperationRoute('POST', ':id/declare-dead', declareHostDead, {
    summary:
      'Give your word that a host is dead, so that its domains can start elsewhere. ' +
      'Where storage has no locking of its own this is as safe as that word',
    output: operationView,
  })
  declareDead(
    @ObjectId() id: string,
    @Input(declareDeadInput) input: DeclareDeadInput,
    @RequestTerms() terms: Terms,
  ): Promise<Answer> {
    return Answer.started(this.maintenance.declareDead(id, input, terms), terms);
  }

  @OperationRoute('POST', ':id/adjust-control-domain', adjustControlDomain, {
    summary: 'Give the control domain of a host another amount of memory or number of vCPUs, while it runs',
    output: operationView,
  })
  adjustControlDomain(
    @ObjectId() id: string,
    @Input(adjustControlDomainInput) input: AdjustControlDomainInput,
    @RequestTerms() terms: Terms,
  ): Promise<Answer> {
    return Answer.started(this.maintenance.adjustControlDomain(id, input, terms), terms);
  }
}
