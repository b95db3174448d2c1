import { Controller } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { Input, ObjectId } from '../../../api/rest/parameters.js';
import { CreateRoute } from '../../../api/rest/routes.js';
import { poolNotFound } from '../../pool/index.js';
import {
  type CreateEnrolmentTokenInput,
  createEnrolmentTokenInput,
  type EnrolmentToken,
  enrolmentToken,
} from '../enrolment-token.schema.js';
import { EnrolmentTokenService } from '../enrolment-token.service.js';

@ApiTags('pools')
@Controller('v1/pools/:id/enrolment-tokens')
export class EnrolmentTokenController {
  constructor(private readonly tokens: EnrolmentTokenService) {}

  @CreateRoute({
    summary: 'Make a one-time token that lets one host into the pool',
    output: enrolmentToken,
    errors: [poolNotFound],
  })
  create(
    @ObjectId() poolId: string,
    @Input(createEnrolmentTokenInput) input: CreateEnrolmentTokenInput,
  ): Promise<EnrolmentToken> {
    return this.tokens.create(poolId, input);
  }
}
