import { Module } from '@nestjs/common';
import { ConsoleController } from './api/console.controller.js';
import { ConsoleResolver } from './api/console.resolver.js';
import { ConsoleUpgrade } from './api/console.upgrade.js';
import { ConsoleService } from './console.service.js';
import { LiveSessions } from './live-sessions.js';

@Module({
  controllers: [ConsoleController],
  providers: [ConsoleService, ConsoleResolver, ConsoleUpgrade, LiveSessions],
})
export class ConsoleModule {}
