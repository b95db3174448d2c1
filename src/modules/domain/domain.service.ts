import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { HostLink } from '../../host-link/host-link.js';
import { inTransaction } from '../../kernel/database/transaction.js';
import { type Caller } from '../../kernel/operations/caller.js';
import { type OperationDefinition } from '../../kernel/operations/define-operation.js';
import { type AcceptOptions, OperationEngine } from '../../kernel/operations/engine.js';
import { type OperationView } from '../../kernel/operations/operation-view.js';
import { type ExpectedRevision } from '../../kernel/schema/revision.js';
import { newId } from '../../kernel/schema/values.js';
import { checkBootFiles } from '../storage/index.js';
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
    private readonly engine: OperationEngine,
    private readonly links: HostLink,
  ) {
    const services: DomainServices = { links, entities: source.manager };
    engine.register(operations.createDomain, services);
    engine.register(operations.deleteDomain, services);
    engine.register(operations.forceOffDomain, services);
    engine.register(operations.pauseDomain, services);
    engine.register(operations.rebootDomain, services);
    engine.register(operations.resumeDomain, services);
    engine.register(operations.shutdownDomain, services);
    engine.register(operations.startDomain, services);
  }

  create(input: CreateDomainInput, caller: Caller, options: AcceptOptions = {}): Promise<OperationView> {
    return this.engine.accept(
      operations.createDomain,
      { ...input, id: input.id ?? newId() },
      caller,
      options,
    );
  }

  /** Begins any verb on a domain that is there. */
  begin<I extends { domainId: string }, P, Step extends string, Found>(
    verb: OperationDefinition<DomainServices, I, P, Step, Found>,
    input: I,
    caller: Caller,
    options: AcceptOptions = {},
  ): Promise<OperationView> {
    return this.engine.accept(verb, input, caller, options);
  }

  async patch(id: string, input: PatchDomainInput, expected: ExpectedRevision): Promise<void> {
    if (input.boot) {
      const { poolId } = await requireDomain(this.source.manager, id);
      await checkBootFiles(this.source.manager, this.links, poolId, bootFiles(input.boot));
    }
    await inTransaction(this.source, (tx) => patchDomain(tx, id, input, expected));
  }
}
