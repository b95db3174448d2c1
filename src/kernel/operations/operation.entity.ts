import { Check, Entity, Index, PrimaryColumn } from 'typeorm';
import {
  FlagColumn,
  IdColumn,
  IntColumn,
  JsonColumn,
  NowColumn,
  RefColumn,
  TextColumn,
  TimeColumn,
} from '../database/columns.js';

/** Live states need a runner or a word from somebody; ended ones never change again. */
@Entity('operation')
@Check(
  `state in ('queued','running','waiting','cancelling','undoing','succeeded','failed','cancelled','needs_attention')`,
)
@Check(`(ended_at is not null) = (state in ('succeeded','failed','cancelled'))`)
@Index(['targetType', 'targetId', 'createdAt'])
@Index(['parentId'])
@Index(['createdAt', 'id'])
@Index('ix_operation_usual', ['kind', 'endedAt'], { where: `state = 'succeeded'` })
@Index('ix_operation_live', ['state'], { where: `ended_at is null` })
@Index('ix_operation_live_actor', ['actor'], { where: `ended_at is null` })
@Index('ix_operation_attend', ['attendAt'], { where: `attend_at is not null` })
export class OperationEntity {
  @IdColumn() id!: string;
  /** `<noun>.<verb>`: the name of the definition that runs it. */
  @TextColumn() kind!: string;
  @TextColumn() targetType!: string;
  @RefColumn() targetId!: string;
  @RefColumn({ nullable: true }) poolId!: string | null;
  @RefColumn({ nullable: true }) parentId!: string | null;
  @TextColumn() actor!: string;
  /** The request header `Domus-Reason`. */
  @TextColumn({ nullable: true }) reason!: string | null;
  /** What was asked, with what the accepting transaction decided (the host chosen, the generation taken). */
  @JsonColumn() input!: unknown;
  @TextColumn({ default: 'queued' }) state!: string;
  @IntColumn({ nullable: true }) progress!: number | null;
  /** When that was said. */
  @TimeColumn({ nullable: true }) progressAt!: Date | null;
  @JsonColumn({ nullable: true }) error!: unknown;
  @JsonColumn({ nullable: true }) result!: unknown;
  @TextColumn() traceId!: string;
  /** Higher first. */
  @IntColumn({ default: 0 }) priority!: number;
  /** Counts the runners; it fences every write and every agent call. */
  @IntColumn({ default: 0 }) attempt!: number;
  /** The process that runs it; its session advisory lock goes with its connection. */
  @RefColumn({ nullable: true }) leaseOwner!: string | null;
  @TimeColumn({ nullable: true }) leaseUntil!: Date | null;
  @TimeColumn({ nullable: true }) deadlineAt!: Date | null;
  @TimeColumn({ nullable: true }) cancelRequestedAt!: Date | null;
  /** Set: only forward, or `needs_attention`. */
  @FlagColumn() pastNoReturn!: boolean;
  /** Set: what was done is being undone, whoever runs it, and this is what it then ends as: `{ outcome, error }`. */
  @JsonColumn({ nullable: true }) turnedBack!: unknown;
  /** Of one that needs attention: when the host is asked again what came of it; null where only somebody's word helps. */
  @TimeColumn({ nullable: true }) attendAt!: Date | null;
  /** How often it has been asked in vain. */
  @IntColumn({ default: 0 }) attends!: number;
  @NowColumn() createdAt!: Date;
  @TimeColumn({ nullable: true }) startedAt!: Date | null;
  @TimeColumn({ nullable: true }) endedAt!: Date | null;
}

/** The journal: a row is written before its step acts and again after. A step is never renamed while operations are in flight. */
@Entity('operation_step')
@Index(['operationId', 'name'], { unique: true })
@Check(`state in ('intent','done','failed','undoing','undone')`)
export class OperationStepEntity {
  @PrimaryColumn('uuid') operationId!: string;
  @PrimaryColumn('int') position!: number;
  @TextColumn() name!: string;
  @TextColumn() state!: string;
  /** The attempt that last wrote the row. */
  @IntColumn() attempt!: number;
  @JsonColumn({ nullable: true }) result!: unknown;
  @JsonColumn({ nullable: true }) error!: unknown;
  @NowColumn() startedAt!: Date;
  @TimeColumn({ nullable: true }) endedAt!: Date | null;
}
