import { Check, Column, Entity, ForeignKey, Index } from 'typeorm';
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

@Entity('host')
@Index(['poolId', 'name'], { unique: true })
@Check(`state in ('enrolled','online','offline','dead')`)
export class HostEntity {
  @IdColumn() id!: string;
  @RefColumn()
  @ForeignKey('PoolEntity', { onDelete: 'RESTRICT' })
  poolId!: string;
  @TextColumn() name!: string;
  /** host:port at which the agent listens. */
  @TextColumn() address!: string;
  /** Raised when the host is declared dead or its key revoked; an agent with an older one is not obeyed. */
  @IntColumn({ default: 1 }) epoch!: number;
  /** SHA-256 of the agent's public key (SPKI). */
  @Column('bytea') keyHash!: Buffer;
  @TextColumn({ default: 'enrolled' }) state!: string;
  @TextColumn({ nullable: true }) bootId!: string | null;
  @TextColumn({ nullable: true }) agentVersion!: string | null;
  @TextColumn({ nullable: true }) hypervisorKind!: string | null;
  @TextColumn({ nullable: true }) hypervisorVersion!: string | null;
  @TextColumn({ nullable: true }) accelerator!: string | null;
  @JsonColumn({ default: '[]' }) virtCaps!: unknown;
  /** Null where the hypervisor has none. */
  @JsonColumn({ nullable: true }) controlDomain!: unknown;
  @TextColumn({ nullable: true }) architecture!: string | null;
  @JsonColumn({ default: '[]' }) capabilities!: unknown;
  @IntColumn({ default: 0 }) cpuCount!: number;
  @BigColumn({ default: 0 }) memoryBytes!: number;
  @BigColumn({ default: 0 }) reservedMemoryBytes!: number;
  /** What an operation under way is giving the control domain beyond what it has: no domain may claim it meanwhile. */
  @BigColumn({ default: 0 }) promisedMemoryBytes!: number;
  @FlagColumn() simulated!: boolean;
  /** Which replica reads the host's state stream, and until when unless it renews. */
  @RefColumn({ nullable: true }) streamOwner!: string | null;
  @TimeColumn({ nullable: true }) streamUntil!: Date | null;
  @TimeColumn({ nullable: true }) observedAt!: Date | null;
  /** Set when the host is declared dead, until it has come back. Then alone is an agent with an older epoch let in, to be brought up to date. */
  @TimeColumn({ nullable: true }) fencedAt!: Date | null;
  /** The epoch up to which a host that comes back was brought up to date: now its key may have a certificate for it. */
  @IntColumn({ nullable: true }) returnedEpoch!: number | null;
  @IntColumn({ default: 1 }) revision!: number;
  @NowColumn() createdAt!: Date;
  @NowColumn() updatedAt!: Date;
}
