import { Column, Entity, Index } from 'typeorm';
import { IdColumn, IntColumn, JsonColumn, NowColumn, TextColumn } from '../../kernel/database/columns.js';

@Entity('pool')
export class PoolEntity {
  @IdColumn() id!: string;
  @TextColumn()
  @Index({ unique: true })
  name!: string;
  /** The server dials agents inside these networks only (CIDR). */
  @Column('text', { array: true }) agentNetworks!: string[];
  /** What was chosen of it; the rest is as `outOfBandDefaults` says. */
  @JsonColumn({ default: '{}' }) outOfBand!: unknown;
  @IntColumn({ default: 1 }) revision!: number;
  @NowColumn() createdAt!: Date;
  @NowColumn() updatedAt!: Date;
}
