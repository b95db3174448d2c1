import { Check, Entity, ForeignKey, Index } from 'typeorm';
import {
  FlagColumn,
  IdColumn,
  IntColumn,
  NowColumn,
  RefColumn,
  TextColumn,
} from '../../kernel/database/columns.js';

@Entity('network')
@Index(['poolId', 'name'], { unique: true })
@Index('uq_network_default', ['poolId'], { unique: true, where: 'is_default' })
@Check(`kind in ('user')`)
export class NetworkEntity {
  @IdColumn() id!: string;
  @RefColumn()
  @ForeignKey('PoolEntity', { onDelete: 'RESTRICT' })
  poolId!: string;
  @TextColumn() name!: string;
  /** `user`: the hypervisor's own user-mode network, without root; later bridge. */
  @TextColumn() kind!: string;
  @FlagColumn() isDefault!: boolean;
  @IntColumn({ default: 1 }) revision!: number;
  @NowColumn() createdAt!: Date;
  @NowColumn() updatedAt!: Date;
}
