import { Column, Entity, Index, PrimaryGeneratedColumn } from 'typeorm';
import { IntColumn, NowColumn, RefColumn, TextColumn, TimeColumn } from '../database/columns.js';

/** What must reach the queue: written in the transaction that decided it, published by any replica, dropped by the claim. */
@Entity('outbox')
@Index('ix_outbox_unpublished', ['id'], { where: 'published_at is null' })
@Index(['operationId'])
export class OutboxEntity {
  /** Makes the job id new each time: BullMQ ignores an id that it has seen. */
  @PrimaryGeneratedColumn('identity', { type: 'bigint' }) id!: string;
  @TextColumn() topic!: string;
  @RefColumn() operationId!: string;
  /** How often the operation has been published in vain, this one included: each next one waits longer. */
  @IntColumn() publication!: number;
  @NowColumn() createdAt!: Date;
  @TimeColumn({ nullable: true }) publishedAt!: Date | null;
}

/** The first answer to a key, given again to whoever repeats the same request. */
@Entity('idempotency_key')
@Index(['createdAt'])
export class IdempotencyKeyEntity {
  @Column('text', { primary: true }) actor!: string;
  @Column('text', { primary: true }) key!: string;
  @Column('bytea') requestHash!: Buffer;
  @IntColumn({ nullable: true }) status!: number | null;
  @Column('jsonb', { nullable: true }) headers!: unknown;
  @Column('text', { nullable: true }) body!: string | null;
  @RefColumn({ nullable: true }) operationId!: string | null;
  @NowColumn() createdAt!: Date;
}
