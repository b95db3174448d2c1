import { Module } from '@nestjs/common';
import { PoolController } from './api/pool.controller.js';
import { PoolResolver } from './api/pool.resolver.js';
import { PoolService } from './pool.service.js';

@Module({
  controllers: [PoolController],
  providers: [PoolService, PoolResolver],
  exports: [PoolService],
})
export class PoolModule {}
