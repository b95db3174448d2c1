import { Module } from '@nestjs/common';
import { HostController } from './api/host.controller.js';
import { HostResolver } from './api/host.resolver.js';

@Module({ controllers: [HostController], providers: [HostResolver] })
export class HostModule {}
