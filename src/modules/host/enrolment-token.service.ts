import { Injectable } from '@nestjs/common';
import { Enrolment } from '../../host-link/enrolment.js';
import { poolNotFound } from '../pool/index.js';
import { type CreateEnrolmentTokenInput, type EnrolmentToken } from './enrolment-token.schema.js';

@Injectable()
export class EnrolmentTokenService {
  constructor(private readonly enrolment: Enrolment) {}

  async create(poolId: string, input: CreateEnrolmentTokenInput): Promise<EnrolmentToken> {
    const minted = await this.enrolment.mintEnrolmentToken(poolId, input);
    if (!minted) throw poolNotFound(`There is no pool ${poolId}.`);
    return { token: minted.token, expiresAt: minted.expiresAt.toISOString() };
  }
}
