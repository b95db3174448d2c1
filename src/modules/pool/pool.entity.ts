import { Column, Entity, Index } from 'typeorm';
import { IdColumn, IntColumn, NowColumn, TextColumn } from '../../kernel/database/columns.js';

@Entity('pool')
export class PoolEntity {
  @IdColumn() id!: string;
  @TextColumn()
  @Index({ unique: true })
  name!: string;
  /** The server dials agents inside these networks only (CIDR). */
  @Column('text', { array: true }) agentNetworks!: string[];
  @IntColumn({ default: 1 }) revision!: number;
  @NowColumn() createdAt!: Date;
  @NowColumn() updatedAt!: Date;
}
