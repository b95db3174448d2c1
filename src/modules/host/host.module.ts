import { Module } from '@nestjs/common';
import { EnrolmentSink } from '../../host-link/enrolment.js';
import { EnrolmentTokenController } from './api/enrolment-token.controller.js';
import { HostController } from './api/host.controller.js';
import { HostResolver } from './api/host.resolver.js';
import { EnrolmentTokenService } from './enrolment-token.service.js';
import { HostEnrolment } from './host.enrolment.js';

@Module({
  controllers: [HostController, EnrolmentTokenController],
  providers: [HostResolver, EnrolmentTokenService, { provide: EnrolmentSink, useClass: HostEnrolment }],
  exports: [EnrolmentSink],
})
export class HostModule {}
