import { Check, Column, Entity, Index, PrimaryColumn, PrimaryGeneratedColumn } from 'typeorm';
import { BigColumn, JsonColumn, NowColumn, RefColumn, TextColumn } from '../database/columns.js';

/**
 * One change of the inventory, written in the transaction that made it. Identity values do not come in the order of
 * commit, so the public `number` is given afterwards by the sequencer, to rows that are visible, without a gap.
 */
@Entity('event')
@Index(['objectType', 'objectId', 'number'])
@Index('ix_event_unnumbered', ['ticket'], { where: 'number is null' })
export class EventEntity {
  @PrimaryGeneratedColumn('identity', { type: 'bigint' }) ticket!: string;
  @Column('bigint', { nullable: true })
  @Index({ unique: true })
  number!: string | null;
  /** `<noun>.<what>`. */
  @TextColumn() type!: string;
  @TextColumn() objectType!: string;
  @RefColumn() objectId!: string;
  @RefColumn({ nullable: true }) poolId!: string | null;
  @RefColumn({ nullable: true }) operationId!: string | null;
  /** Of a change without an operation: who asked, and by which request. An operation's own row says both. */
  @TextColumn({ nullable: true }) actor!: string | null;
  @TextColumn({ nullable: true }) traceId!: string | null;
  @JsonColumn() changes!: unknown;
  @NowColumn() at!: Date;
}

/** One row: the last number given, and the last one trimmed away. Its row lock is what makes numbering single. */
@Entity('event_head')
@Check(`id = 1`)
export class EventHeadEntity {
  @PrimaryColumn('int') id!: number;
  @BigColumn({ default: 0 }) last!: number;
  @BigColumn({ default: 0 }) trimmed!: number;
}
