import { Module } from '@nestjs/common';
import { StorageRepositoryController } from './api/storage-repository.controller.js';
import { StorageRepositoryResolver } from './api/storage-repository.resolver.js';
import { VolumeController } from './api/volume.controller.js';
import { VolumeResolver } from './api/volume.resolver.js';
import { StorageService } from './storage.service.js';

@Module({
  controllers: [StorageRepositoryController, VolumeController],
  providers: [StorageService, StorageRepositoryResolver, VolumeResolver],
  exports: [StorageService],
})
export class StorageModule {}
