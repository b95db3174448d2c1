import { Injectable, type OnModuleInit } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { HostLink } from '../../host-link/host-link.js';
import { OperationEngine } from '../../kernel/operations/engine.js';
import { ShortWrites } from '../../kernel/operations/short-writes.js';
import { type Started, type Terms, type Written } from '../../kernel/operations/terms.js';
import { newId } from '../../kernel/schema/values.js';
import { OperationStarter } from '../operation/index.js';
import {
  createStorageRepository,
  createVolume,
  deleteStorageRepository,
  deleteVolume,
} from './operations/index.js';
import { patchRepository, patchVolume } from './patch-storage.js';
import { storageRepositoryModel, volumeModel } from './storage.queries.js';
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
    private readonly starter: OperationStarter,
    private readonly writes: ShortWrites,
    private readonly links: HostLink,
  ) {}

  onModuleInit(): void {
    const services = { links: this.links, entities: this.source.manager };
    this.engine.register(createStorageRepository, services);
    this.engine.register(deleteStorageRepository, services);
    this.engine.register(createVolume, services);
    this.engine.register(deleteVolume, services);
  }

  createRepository(input: CreateStorageRepositoryInput, terms: Terms): Promise<Started> {
    const whole = { ...input, id: input.id ?? newId() };
    return this.starter.start(createStorageRepository, whole, terms, input);
  }

  deleteRepository(repositoryId: string, terms: Terms): Promise<Started> {
    return this.starter.start(deleteStorageRepository, { repositoryId, expected: terms.expected }, terms);
  }

  createVolume(input: CreateVolumeInput, terms: Terms): Promise<Started> {
    return this.starter.start(createVolume, { ...input, id: input.id ?? newId() }, terms, input);
  }

  deleteVolume(volumeId: string, terms: Terms): Promise<Started> {
    return this.starter.start(deleteVolume, { volumeId, expected: terms.expected }, terms);
  }

  patchRepository(id: string, input: PatchStorageRepositoryInput, terms: Terms): Promise<Written> {
    return this.writes.object(
      storageRepositoryModel,
      {
        kind: 'storage_repository.update',
        target: { type: 'storage_repository', id },
        asked: [id, input],
        work: (tx) => patchRepository(tx, id, input, terms.expected),
      },
      terms,
    );
  }

  patchVolume(id: string, input: PatchVolumeInput, terms: Terms): Promise<Written> {
    return this.writes.object(
      volumeModel,
      {
        kind: 'volume.update',
        target: { type: 'volume', id },
        asked: [id, input],
        work: (tx) => patchVolume(tx, id, input, terms.expected),
      },
      terms,
    );
  }
}
