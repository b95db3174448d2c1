import { Check, Entity, ForeignKey, Index, PrimaryColumn } from 'typeorm';
import {
  BigColumn,
  FlagColumn,
  IdColumn,
  IntColumn,
  JsonColumn,
  NowColumn,
  RefColumn,
  TextColumn,
  TimeColumn,
} from '../../kernel/database/columns.js';

@Entity('storage_repository')
@Index(['poolId', 'name'], { unique: true })
@Check(`state in ('creating','ready','deleting')`)
export class StorageRepositoryEntity {
  @IdColumn() id!: string;
  @RefColumn()
  @ForeignKey('PoolEntity', { onDelete: 'RESTRICT' })
  poolId!: string;
  @TextColumn() name!: string;
  /** The backend: `directory`, `lvm`, later gluster, device. */
  @TextColumn() kind!: string;
  @TextColumn({ default: 'creating' }) state!: string;
  @JsonColumn({ default: '{}' }) settings!: unknown;
  /** Every volume is a whole number of these, as its host last said. */
  @BigColumn({ default: 512 }) granularityBytes!: number;
  @IntColumn({ default: 1 }) revision!: number;
  @NowColumn() createdAt!: Date;
  @NowColumn() updatedAt!: Date;
}

/** A repository as one host reaches it. */
@Entity('attachment')
@Index(['repositoryId', 'hostId'], { unique: true })
@Index(['hostId'])
@Check(`state in ('detached','attached','unavailable')`)
export class AttachmentEntity {
  @IdColumn() id!: string;
  @RefColumn()
  @ForeignKey('StorageRepositoryEntity', { onDelete: 'CASCADE' })
  repositoryId!: string;
  @RefColumn()
  @ForeignKey('HostEntity', { onDelete: 'CASCADE' })
  hostId!: string;
  /** Absolute path on that host. */
  @TextColumn() path!: string;
  @TextColumn({ default: 'detached' }) state!: string;
  @BigColumn({ nullable: true }) capacityBytes!: number | null;
  @BigColumn({ nullable: true }) freeBytes!: number | null;
  @TimeColumn({ nullable: true }) observedAt!: Date | null;
}

/**
 * The one host that works on idle volumes of a repository. Its right does not run out with time, which proves nothing about a host
 * that is cut off: it ends when the host was declared dead (another epoch), or has said that it has ended what it did.
 */
@Entity('executor')
@Index(['hostId'])
export class ExecutorEntity {
  @PrimaryColumn('uuid')
  @ForeignKey('StorageRepositoryEntity', { onDelete: 'CASCADE' })
  repositoryId!: string;
  @RefColumn({ nullable: true })
  @ForeignKey('HostEntity', { onDelete: 'SET NULL' })
  hostId!: string | null;
  /** Of that host, when it was given the right. */
  @IntColumn() hostEpoch!: number;
  /** Taken forward by each host that is given the right; in the fence of each call by it. */
  @BigColumn() generation!: number;
  /** It is given no more work, and another one is given none either before it has said that it has ended its own. */
  @FlagColumn() leaving!: boolean;
  @NowColumn() since!: Date;
}

@Entity('volume')
@Index(['repositoryId', 'name'])
@Index('ix_volume_abandoned', ['repositoryId'], { where: `state = 'abandoned'` })
@Check(`state in ('creating','ready','missing','deleting','abandoned')`)
export class VolumeEntity {
  @IdColumn() id!: string;
  @RefColumn()
  @ForeignKey('StorageRepositoryEntity', { onDelete: 'RESTRICT' })
  repositoryId!: string;
  @TextColumn() name!: string;
  @TextColumn() format!: string;
  @BigColumn() sizeBytes!: number;
  @BigColumn({ nullable: true }) allocatedBytes!: number | null;
  @TextColumn({ default: 'creating' }) state!: string;
  /** Taken forward by every new hold, so that a late user of an old one is refused. */
  @IntColumn({ default: 0 }) generation!: number;
  @IntColumn({ default: 1 }) revision!: number;
  @NowColumn() createdAt!: Date;
  @NowColumn() updatedAt!: Date;
}

/** The right of one host to use one volume. Written before the volume is activated there; one writer at a time. */
@Entity('hold')
@Index('uq_hold_writer', ['volumeId'], { unique: true, where: `mode = 'rw'` })
@Index(['domainId'])
@Check(`mode in ('ro','rw','migrating')`)
export class HoldEntity {
  @PrimaryColumn('uuid')
  @ForeignKey('VolumeEntity', { onDelete: 'RESTRICT' })
  volumeId!: string;
  @PrimaryColumn('uuid')
  @ForeignKey('HostEntity', { onDelete: 'RESTRICT' })
  hostId!: string;
  @TextColumn() mode!: string;
  @IntColumn() generation!: number;
  @RefColumn({ nullable: true }) domainId!: string | null;
  @RefColumn({ nullable: true }) operationId!: string | null;
  @NowColumn() createdAt!: Date;
}
