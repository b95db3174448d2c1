import { Injectable } from '@nestjs/common';
import { Enrolment } from '../../host-link/enrolment.js';
import { appendEvent } from '../../kernel/events/append-event.js';
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
          const expiresAt = minted.expiresAt.toISOString();
          await appendEvent(tx, {
            type: 'pool.enrolment_token_created',
            object: { type: 'pool', id: poolId },
            poolId,
            changes: { expiresAt },
          });
          return { token: minted.token, expiresAt };
        },
      },
      terms,
    );
  }
}
