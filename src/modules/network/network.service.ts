import { Injectable, type OnModuleInit } from '@nestjs/common';
import { OperationEngine } from '../../kernel/operations/engine.js';
import { ShortWrites } from '../../kernel/operations/short-writes.js';
import { type Started, type Terms, type Written } from '../../kernel/operations/terms.js';
import { newId } from '../../kernel/schema/values.js';
import { OperationStarter } from '../operation/index.js';
import { type CreateNetworkInput, type PatchNetworkInput } from './network.schema.js';
import { networkModel } from './network.queries.js';
import { createNetwork, deleteNetwork } from './operations/index.js';
import { patchNetwork } from './patch-network.js';

/** Writes on networks: starts operations, and changes names. Reads go through `networkModel`. */
@Injectable()
export class NetworkService implements OnModuleInit {
  constructor(
    private readonly engine: OperationEngine,
    private readonly starter: OperationStarter,
    private readonly writes: ShortWrites,
  ) {}

  onModuleInit(): void {
    this.engine.register(createNetwork, {});
    this.engine.register(deleteNetwork, {});
  }

  create(input: CreateNetworkInput, terms: Terms): Promise<Started> {
    return this.starter.start(createNetwork, { ...input, id: input.id ?? newId() }, terms, input);
  }

  delete(networkId: string, terms: Terms): Promise<Started> {
    return this.starter.start(deleteNetwork, { networkId, expected: terms.expected }, terms);
  }

  patch(id: string, input: PatchNetworkInput, terms: Terms): Promise<Written> {
    return this.writes.object(
      networkModel,
      {
        kind: 'network.update',
        target: { type: 'network', id },
        asked: [id, input],
        work: (tx) => patchNetwork(tx, id, input, terms.expected),
      },
      terms,
    );
  }
}
