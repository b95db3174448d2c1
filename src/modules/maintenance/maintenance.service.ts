import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { HostLink } from '../../host-link/host-link.js';
import { requestInvalid } from '../../kernel/errors/problems.js';
import { OperationEngine } from '../../kernel/operations/engine.js';
import { type Started, type Terms } from '../../kernel/operations/terms.js';
import { OperationStarter } from '../operation/index.js';
import { type AdjustControlDomainInput, type DeclareDeadInput } from './maintenance.schema.js';
import { adjustControlDomain, declareHostDead, returnHost } from './operations/index.js';
import { type MaintenanceServices } from './operations/services.js';

/** What is done with whole hosts. */
@Injectable()
export class MaintenanceService {
  constructor(
    engine: OperationEngine,
    links: HostLink,
    source: DataSource,
    private readonly starter: OperationStarter,
  ) {
    const services: MaintenanceServices = { links, engine, entities: source.manager };
    engine.register(adjustControlDomain, services);
    engine.register(declareHostDead, services);
    engine.register(returnHost, services);
  }

  /** Throws `request.invalid` without a name and a reason, unless it is only planned. */
  async declareDead(hostId: string, input: DeclareDeadInput, terms: Terms): Promise<Started> {
    const { name = null, reason } = input;
    const caller = { ...terms.caller, reason: reason ?? terms.caller.reason };
    if (!terms.dryRun && name === null)
      throw requestInvalid("Type the host's name.", { errors: [{ path: 'name', message: 'is required' }] });
    if (!terms.dryRun && caller.reason === null)
      throw requestInvalid('Say why the host is declared dead.', {
        errors: [{ path: 'reason', message: 'is required, here or in Domus-Reason' }],
      });
    const whole = { hostId, name, expected: terms.expected };
    return this.starter.start(declareHostDead, whole, { ...terms, caller }, { ...whole, reason });
  }

  adjustControlDomain(hostId: string, input: AdjustControlDomainInput, terms: Terms): Promise<Started> {
    const { memoryBytes = null, vcpus = null } = input;
    return this.starter.start(
      adjustControlDomain,
      { hostId, memoryBytes, vcpus, expected: terms.expected },
      terms,
    );
  }
}
