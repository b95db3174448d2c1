import { Module } from '@nestjs/common';
import { OperationController } from './api/operation.controller.js';
import { OperationResolver } from './api/operation.resolver.js';
import { OperationService } from './operation.service.js';

@Module({ controllers: [OperationController], providers: [OperationResolver, OperationService] })
export class OperationModule {}
