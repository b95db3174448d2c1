import { Module } from '@nestjs/common';
import { EventController } from './api/event.controller.js';
import { EventResolver } from './api/event.resolver.js';

@Module({ controllers: [EventController], providers: [EventResolver] })
export class EventModule {}
