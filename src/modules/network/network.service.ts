import { Injectable, type OnModuleInit } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { inTransaction } from '../../kernel/database/transaction.js';
import { type Caller } from '../../kernel/operations/caller.js';
import { type AcceptOptions, OperationEngine } from '../../kernel/operations/engine.js';
import { type OperationView } from '../../kernel/operations/operation-view.js';
import { type ExpectedRevision } from '../../kernel/schema/revision.js';
import { newId } from '../../kernel/schema/values.js';
import { type CreateNetworkInput, type PatchNetworkInput } from './network.schema.js';
import { createNetwork, deleteNetwork } from './operations/index.js';
import { patchNetwork } from './patch-network.js';

/** Writes on networks: starts operations, and changes names. Reads go through `networkModel`. */
@Injectable()
export class NetworkService implements OnModuleInit {
  constructor(
    private readonly source: DataSource,
    private readonly engine: OperationEngine,
  ) {}

  onModuleInit(): void {
    this.engine.register(createNetwork, {});
    this.engine.register(deleteNetwork, {});
  }

  create(input: CreateNetworkInput, caller: Caller, options: AcceptOptions = {}): Promise<OperationView> {
    return this.engine.accept(createNetwork, { ...input, id: input.id ?? newId() }, caller, options);
  }

  delete(
    networkId: string,
    expected: ExpectedRevision,
    caller: Caller,
    options: AcceptOptions = {},
  ): Promise<OperationView> {
    return this.engine.accept(deleteNetwork, { networkId, expected }, caller, options);
  }

  patch(id: string, input: PatchNetworkInput, expected: ExpectedRevision): Promise<void> {
    return inTransaction(this.source, (tx) => patchNetwork(tx, id, input, expected));
  }
}
