import { Module } from '@nestjs/common';
import { StorageRepositoryController } from './api/storage-repository.controller.js';
import { StorageRepositoryResolver } from './api/storage-repository.resolver.js';
import { VolumeController } from './api/volume.controller.js';
import { VolumeResolver } from './api/volume.resolver.js';
import { VolumeInventory } from './volume-inventory.js';
import { StorageService } from './storage.service.js';

@Module({
  controllers: [StorageRepositoryController, VolumeController],
  providers: [StorageService, VolumeInventory, StorageRepositoryResolver, VolumeResolver],
  exports: [StorageService, VolumeInventory],
})
export class StorageModule {}
