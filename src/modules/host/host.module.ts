import { Module } from '@nestjs/common';
import { EnrolmentSink } from '../../host-link/enrolment.js';
import { InventorySink } from '../../host-link/host-link.js';
import { EnrolmentTokenController } from './api/enrolment-token.controller.js';
import { HostController } from './api/host.controller.js';
import { HostResolver } from './api/host.resolver.js';
import { EnrolmentTokenService } from './enrolment-token.service.js';
import { HostEnrolment } from './host.enrolment.js';
import { HostsOnlyInventory } from './hosts-only.inventory.js';

@Module({
  controllers: [HostController, EnrolmentTokenController],
  providers: [
    HostResolver,
    EnrolmentTokenService,
    { provide: EnrolmentSink, useClass: HostEnrolment },
    { provide: InventorySink, useClass: HostsOnlyInventory },
  ],
  exports: [EnrolmentSink, InventorySink],
})
export class HostModule {}
