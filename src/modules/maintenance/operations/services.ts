import { type EntityManager } from 'typeorm';
import { type HostLink } from '../../../host-link/host-link.js';
import { type OperationEngine } from '../../../kernel/operations/engine.js';

/** What operations on whole hosts work with. */
export interface MaintenanceServices {
  readonly links: HostLink;
  readonly engine: OperationEngine;
  readonly entities: EntityManager;
}
