import { Injectable } from '@nestjs/common';
import { type EntityManager } from 'typeorm';
import { type EnrolledHost, EnrolmentSink } from '../../host-link/enrolment.js';
import { appendEvent } from '../../kernel/events/append-event.js';

/** Tells of hosts that come, in the transaction that lets them in. */
@Injectable()
export class HostEnrolment extends EnrolmentSink {
  async enrolled(tx: EntityManager, { hostId, poolId, name, address }: EnrolledHost): Promise<void> {
    const object = { type: 'host', id: hostId };
    await appendEvent(tx, {
      type: 'host.created',
      object,
      poolId,
      changes: { name, address, state: 'enrolled' },
    });
  }

  async moved(tx: EntityManager, { hostId, poolId, address }: EnrolledHost): Promise<void> {
    await appendEvent(tx, {
      type: 'host.updated',
      object: { type: 'host', id: hostId },
      poolId,
      changes: { address },
    });
  }
}
