import { Injectable, type OnModuleInit } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { HostLink } from '../../host-link/host-link.js';
import { inTransaction } from '../../kernel/database/transaction.js';
import { type Caller } from '../../kernel/operations/caller.js';
import { type AcceptOptions, OperationEngine } from '../../kernel/operations/engine.js';
import { type OperationView } from '../../kernel/operations/operation-view.js';
import { type ExpectedRevision } from '../../kernel/schema/revision.js';
import { newId } from '../../kernel/schema/values.js';
import {
  createStorageRepository,
  createVolume,
  deleteStorageRepository,
  deleteVolume,
} from './operations/index.js';
import { patchRepository, patchVolume } from './patch-storage.js';
import {
  type CreateStorageRepositoryInput,
  type CreateVolumeInput,
  type PatchStorageRepositoryInput,
  type PatchVolumeInput,
} from './storage.schema.js';

/** Writes on repositories and volumes: starts operations, and changes names. Reads go through the models. */
@Injectable()
export class StorageService implements OnModuleInit {
  constructor(
    private readonly source: DataSource,
    private readonly engine: OperationEngine,
    private readonly links: HostLink,
  ) {}

  onModuleInit(): void {
    const services = { links: this.links, entities: this.source.manager };
    this.engine.register(createStorageRepository, services);
    this.engine.register(deleteStorageRepository, services);
    this.engine.register(createVolume, services);
    this.engine.register(deleteVolume, services);
  }

  createRepository(
    input: CreateStorageRepositoryInput,
    caller: Caller,
    options: AcceptOptions = {},
  ): Promise<OperationView> {
    return this.engine.accept(
      createStorageRepository,
      { ...input, id: input.id ?? newId() },
      caller,
      options,
    );
  }

  deleteRepository(
    repositoryId: string,
    expected: ExpectedRevision,
    caller: Caller,
    options: AcceptOptions = {},
  ): Promise<OperationView> {
    return this.engine.accept(deleteStorageRepository, { repositoryId, expected }, caller, options);
  }

  createVolume(
    input: CreateVolumeInput,
    caller: Caller,
    options: AcceptOptions = {},
  ): Promise<OperationView> {
    return this.engine.accept(createVolume, { ...input, id: input.id ?? newId() }, caller, options);
  }

  deleteVolume(
    volumeId: string,
    expected: ExpectedRevision,
    caller: Caller,
    options: AcceptOptions = {},
  ): Promise<OperationView> {
    return this.engine.accept(deleteVolume, { volumeId, expected }, caller, options);
  }

  patchRepository(id: string, input: PatchStorageRepositoryInput, expected: ExpectedRevision): Promise<void> {
    return inTransaction(this.source, (tx) => patchRepository(tx, id, input, expected));
  }

  patchVolume(id: string, input: PatchVolumeInput, expected: ExpectedRevision): Promise<void> {
    return inTransaction(this.source, (tx) => patchVolume(tx, id, input, expected));
  }
}
