import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { HostLink } from '../../host-link/host-link.js';
import { OperationEngine } from '../../kernel/operations/engine.js';
import { type Started, type Terms } from '../../kernel/operations/terms.js';
import { OperationStarter } from '../operation/index.js';
import { type DeclareDeadInput } from './maintenance.schema.js';
import { declareHostDead, returnHost } from './operations/index.js';
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
    engine.register(declareHostDead, services);
    engine.register(returnHost, services);
  }

  declareDead(hostId: string, input: DeclareDeadInput, terms: Terms): Promise<Started> {
    const { name, reason } = input;
    const caller = { ...terms.caller, reason: reason ?? terms.caller.reason };
    const whole = { hostId, name, expected: terms.expected };
    return this.starter.start(declareHostDead, whole, { ...terms, caller }, { ...whole, reason });
  }
}
