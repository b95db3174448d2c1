import { Module } from '@nestjs/common';
import { NetworkController } from './api/network.controller.js';
import { NetworkResolver } from './api/network.resolver.js';
import { NetworkService } from './network.service.js';

@Module({
  controllers: [NetworkController],
  providers: [NetworkService, NetworkResolver],
  exports: [NetworkService],
})
export class NetworkModule {}
