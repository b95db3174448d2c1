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

@Entity('domain')
@Index(['poolId', 'name'])
@Index(['hostId'])
@Index(['createdAt', 'id'])
@Check(`state in ('halted','running','paused','suspended','crashed','unknown')`)
@Check(`desired_state in ('halted','running','paused')`)
@Check(`autostart_policy in ('always','as_before','never')`)
@Check(`on_crash in ('halt','restart')`)
@Check(`virtualization in ('auto','hvm','pvh','pv')`)
@Check(`on_reboot in ('reboot','halt')`)
export class DomainEntity {
  @IdColumn() id!: string;
  @RefColumn()
  @ForeignKey('PoolEntity', { onDelete: 'RESTRICT' })
  poolId!: string;
  /** Where it runs, or is being started. A halted domain has none. */
  @RefColumn({ nullable: true })
  @ForeignKey('HostEntity', { onDelete: 'RESTRICT' })
  hostId!: string | null;
  /** Where it ran last: its log and its folder are there until it is deleted or runs elsewhere. */
  @RefColumn({ nullable: true })
  @ForeignKey('HostEntity', { onDelete: 'SET NULL' })
  lastHostId!: string | null;
  @TextColumn() name!: string;
  @IntColumn() vcpus!: number;
  @BigColumn() memoryBytes!: number;
  @TextColumn({ default: 'auto' }) virtualization!: string;
  @JsonColumn() boot!: unknown;
  @TextColumn({ default: 'as_before' }) autostartPolicy!: string;
  @IntColumn({ default: 0 }) autostartOrder!: number;
  @IntColumn({ default: 0 }) autostartDelaySeconds!: number;
  @TextColumn({ default: 'halt' }) onCrash!: string;
  @TextColumn({ default: 'reboot' }) onReboot!: string;
  @IntColumn({ default: 1 }) revision!: number;
  /** What was asked last; written where an operation is accepted, and where what a host reports is adopted. */
  @TextColumn({ default: 'halted' }) desiredState!: string;
  /** When its guest ended although it should have run: a host that goes down ends its guests a little before itself. */
  @TimeColumn({ nullable: true }) lostAt!: Date | null;
  /** Reported: what the host said last. */
  @TextColumn({ default: 'halted' }) state!: string;
  /** When the host saw the state change, by the host's clock. */
  @TimeColumn({ nullable: true }) stateSince!: Date | null;
  @TextColumn({ nullable: true }) stateReason!: string | null;
  @IntColumn({ nullable: true }) pid!: number | null;
  @TimeColumn({ nullable: true }) observedAt!: Date | null;
  /** Taken forward by every start; a host that says something of an older one is not believed. */
  @IntColumn({ default: 0 }) generation!: number;
  @FlagColumn() simulated!: boolean;
  @NowColumn() createdAt!: Date;
  @NowColumn() updatedAt!: Date;
}

/**
 * What the next domain of a deleted one's id begins after: hosts remember generations, and one that was away may still run
 * an old guest. A short row for each id that ever ran; it is never deleted, since a host may come back after any time.
 */
@Entity('retired_domain')
export class RetiredDomainEntity {
  @IdColumn() id!: string;
  /** The last one that was given to a host. */
  @IntColumn() generation!: number;
  /** Of the deletion. */
  @NowColumn() at!: Date;
}

/** What a domain takes from its host, from the accepting transaction of its start until it is halted. */
@Entity('claim')
@Index(['hostId'])
export class ClaimEntity {
  @PrimaryColumn('uuid')
  @ForeignKey('DomainEntity', { onDelete: 'RESTRICT' })
  domainId!: string;
  @RefColumn()
  @ForeignKey('HostEntity', { onDelete: 'RESTRICT' })
  hostId!: string;
  @IntColumn() vcpus!: number;
  @BigColumn() memoryBytes!: number;
  @NowColumn() createdAt!: Date;
}

@Entity('disk')
@Index(['domainId', 'position'], { unique: true })
@Index(['volumeId'])
export class DiskEntity {
  @IdColumn() id!: string;
  @RefColumn()
  @ForeignKey('DomainEntity', { onDelete: 'CASCADE' })
  domainId!: string;
  @RefColumn()
  @ForeignKey('VolumeEntity', { onDelete: 'RESTRICT' })
  volumeId!: string;
  @IntColumn() position!: number;
  @TextColumn({ default: 'virtio' }) bus!: string;
  @FlagColumn() readOnly!: boolean;
}

@Entity('nic')
@Index(['domainId', 'position'], { unique: true })
@Index(['networkId'])
@Index(['mac'], { unique: true })
export class NicEntity {
  @IdColumn() id!: string;
  @RefColumn()
  @ForeignKey('DomainEntity', { onDelete: 'CASCADE' })
  domainId!: string;
  @RefColumn()
  @ForeignKey('NetworkEntity', { onDelete: 'RESTRICT' })
  networkId!: string;
  @IntColumn() position!: number;
  @TextColumn() mac!: string;
  @TextColumn({ default: 'virtio' }) model!: string;
}
