import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { HostLink } from '../../host-link/host-link.js';
import { type OperationDefinition } from '../../kernel/operations/define-operation.js';
import { OperationEngine } from '../../kernel/operations/engine.js';
import { ShortWrites } from '../../kernel/operations/short-writes.js';
import { type Started, type Terms, type Written } from '../../kernel/operations/terms.js';
import { newId } from '../../kernel/schema/values.js';
import { OperationStarter } from '../operation/index.js';
import { checkBootFiles } from '../storage/index.js';
import { domainModel } from './domain.queries.js';
import { requireDomain } from './domain.rows.js';
import { type CreateDomainInput, type PatchDomainInput } from './domain.schema.js';
import { bootFiles } from './operations/create-domain.js';
import * as operations from './operations/index.js';
import { type DomainServices } from './operations/services.js';
import { patchDomain } from './patch-domain.js';

/** Writes on domains: starts operations, and changes what clients write. Reads go through `domainModel`. */
@Injectable()
export class DomainService {
  constructor(
    private readonly source: DataSource,
    engine: OperationEngine,
    private readonly starter: OperationStarter,
    private readonly writes: ShortWrites,
    private readonly links: HostLink,
  ) {
    const services: DomainServices = { links, entities: source.manager };
    engine.register(operations.autostartHost, services);
    engine.register(operations.createDomain, services);
    engine.register(operations.deleteDomain, services);
    engine.register(operations.forceOffDomain, services);
    engine.register(operations.pauseDomain, services);
    engine.register(operations.rebootDomain, services);
    engine.register(operations.resetDomain, services);
    engine.register(operations.resumeDomain, services);
    engine.register(operations.shutdownDomain, services);
    engine.register(operations.startDomain, services);
  }

  create(input: CreateDomainInput, terms: Terms): Promise<Started> {
    const whole = { ...input, id: input.id ?? newId() };
    return this.starter.start(operations.createDomain, whole, terms, input);
  }

  /** Begins any verb on a domain that is there. */
  begin<I extends { domainId: string }, P, Step extends string, Found>(
    verb: OperationDefinition<DomainServices, I, P, Step, Found>,
    input: I,
    terms: Terms,
  ): Promise<Started> {
    return this.starter.start(verb, input, terms);
  }

  patch(id: string, input: PatchDomainInput, terms: Terms): Promise<Written> {
    const { manager } = this.source;
    return this.writes.object(
      domainModel,
      {
        kind: 'domain.update',
        target: { type: 'domain', id },
        asked: [id, input],
        check: async () => {
          if (!input.boot) return;
          const { poolId } = await requireDomain(manager, id);
          await checkBootFiles(manager, this.links, poolId, bootFiles(input.boot));
        },
        work: (tx) => patchDomain(tx, id, input, terms.expected),
      },
      terms,
    );
  }
}
