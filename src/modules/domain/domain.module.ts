import { Module } from '@nestjs/common';
import { InventorySink } from '../../host-link/host-link.js';
import { StorageModule } from '../storage/index.js';
import { DomainController } from './api/domain.controller.js';
import { DomainResolver } from './api/domain.resolver.js';
import { DomainInventory } from './domain.inventory.js';
import { Reconciler } from './reconcile/reconciler.js';
import { DomainService } from './domain.service.js';

@Module({
  imports: [StorageModule],
  controllers: [DomainController],
  providers: [
    DomainService,
    DomainResolver,
    Reconciler,
    { provide: InventorySink, useClass: DomainInventory },
  ],
  exports: [DomainService, InventorySink],
})
export class DomainModule {}
