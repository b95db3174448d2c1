import { Injectable } from '@nestjs/common';
import { Enrolment } from '../../host-link/enrolment.js';
import { ShortWrites } from '../../kernel/operations/short-writes.js';
import { type Terms, type Told } from '../../kernel/operations/terms.js';
import { poolNotFound } from '../pool/index.js';
import { type CreateEnrolmentTokenInput, type EnrolmentToken } from './enrolment-token.schema.js';

@Injectable()
export class EnrolmentTokenService {
  constructor(
    private readonly enrolment: Enrolment,
    private readonly writes: ShortWrites,
  ) {}

  create(poolId: string, input: CreateEnrolmentTokenInput, terms: Terms): Promise<Told<EnrolmentToken>> {
    return this.writes.secret(
      {
        kind: 'pool.create_enrolment_token',
        target: { type: 'pool', id: poolId },
        asked: [poolId, input],
        work: async (tx) => {
          const minted = await this.enrolment.mintEnrolmentToken(poolId, input, tx);
          if (!minted) throw poolNotFound(`There is no pool ${poolId}.`);
          return { token: minted.token, expiresAt: minted.expiresAt.toISOString() };
        },
      },
      terms,
    );
  }
}
