import { Controller } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { Answer } from '../../../api/rest/answer.js';
import { Input, ObjectId } from '../../../api/rest/parameters.js';
import { CreateRoute } from '../../../api/rest/routes.js';
import { RequestTerms } from '../../../api/rest/terms.js';
import { idempotencyAnswerGone } from '../../../kernel/operations/idempotency.js';
import { type Terms } from '../../../kernel/operations/terms.js';
import { poolNotFound } from '../../pool/index.js';
import {
  type CreateEnrolmentTokenInput,
  createEnrolmentTokenInput,
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
    errors: [poolNotFound, idempotencyAnswerGone],
  })
  create(
    @ObjectId() poolId: string,
    @Input(createEnrolmentTokenInput) input: CreateEnrolmentTokenInput,
    @RequestTerms() terms: Terms,
  ): Promise<Answer> {
    return Answer.told(this.tokens.create(poolId, input, terms));
  }
}
