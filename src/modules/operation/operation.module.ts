import { Module } from '@nestjs/common';
import { OperationController } from './api/operation.controller.js';
import { OperationResolver } from './api/operation.resolver.js';

@Module({ controllers: [OperationController], providers: [OperationResolver] })
export class OperationModule {}
