import { Global, Module } from '@nestjs/common';
import { OperationController } from './api/operation.controller.js';
import { OperationResolver } from './api/operation.resolver.js';
import { OperationEndings } from './operation.endings.js';
import { OperationFollower } from './operation.follow.js';
import { OperationService } from './operation.service.js';
import { OperationStarter } from './operation-starter.js';

@Global()
@Module({
  controllers: [OperationController],
  providers: [OperationResolver, OperationService, OperationFollower, OperationEndings, OperationStarter],
  exports: [OperationStarter],
})
export class OperationModule {}
