import { EventEntity, EventHeadEntity } from '../kernel/events/event.entity.js';
import { ObjectLockEntity } from '../kernel/operations/object-lock.entity.js';
import { OperationEntity, OperationStepEntity } from '../kernel/operations/operation.entity.js';
import { IdempotencyKeyEntity, OutboxEntity } from '../kernel/operations/outbox.entity.js';
import { EnrolmentTokenEntity, PoolAuthorityEntity } from '../host-link/authority.entity.js';
import { ApiTokenEntity } from './auth/api-token.entity.js';
import { ConsoleEntity, ConsoleSessionEntity } from './console/console.entity.js';
import {
  ClaimEntity,
  DiskEntity,
  DomainEntity,
  NicEntity,
  RetiredDomainEntity,
} from './domain/domain.entity.js';
import {
  BootStartEntity,
  HostBootEntity,
  OvertakenGuestEntity,
  RepairEntity,
} from './domain/reconcile/reconcile.entity.js';
import { HostEntity } from './host/host.entity.js';
import { NetworkEntity } from './network/network.entity.js';
import { PoolEntity } from './pool/pool.entity.js';
import {
  AttachmentEntity,
  ExecutorEntity,
  HoldEntity,
  StorageRepositoryEntity,
  VolumeEntity,
} from './storage/storage.entity.js';

/** Every table. A new one needs a line here and a migration; CI compares the two. */
export const entities = [
  ApiTokenEntity,
  AttachmentEntity,
  BootStartEntity,
  ClaimEntity,
  ConsoleEntity,
  ConsoleSessionEntity,
  DiskEntity,
  DomainEntity,
  EnrolmentTokenEntity,
  EventEntity,
  EventHeadEntity,
  ExecutorEntity,
  HoldEntity,
  HostBootEntity,
  HostEntity,
  IdempotencyKeyEntity,
  NetworkEntity,
  NicEntity,
  ObjectLockEntity,
  OperationEntity,
  OperationStepEntity,
  OutboxEntity,
  OvertakenGuestEntity,
  PoolAuthorityEntity,
  PoolEntity,
  RepairEntity,
  RetiredDomainEntity,
  StorageRepositoryEntity,
  VolumeEntity,
];
