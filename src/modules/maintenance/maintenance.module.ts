import { Module } from '@nestjs/common';
import { HostWatch } from '../../host-link/host-link.js';
import { MaintenanceController } from './api/maintenance.controller.js';
import { MaintenanceResolver } from './api/maintenance.resolver.js';
import { MaintenanceService } from './maintenance.service.js';
import { ReturningHosts } from './returning-hosts.js';

@Module({
  controllers: [MaintenanceController],
  providers: [MaintenanceService, MaintenanceResolver, { provide: HostWatch, useClass: ReturningHosts }],
  exports: [HostWatch],
})
export class MaintenanceModule {}
