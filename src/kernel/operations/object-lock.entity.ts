import { Check, Column, Entity, Index, PrimaryColumn } from 'typeorm';
import { NowColumn, RefColumn, TextColumn } from '../database/columns.js';

/** What an operation may count on until it ends. Rows are taken in the accepting transaction and go in the ending one. */
@Entity('object_lock')
@Index(['operationId'])
@Index('uq_object_lock_exclusive', ['objectType', 'objectId'], {
  unique: true,
  where: `mode = 'exclusive' and granted and under is null`,
})
@Check(`mode in ('shared','exclusive')`)
export class ObjectLockEntity {
  @PrimaryColumn('text') objectType!: string;
  @PrimaryColumn('uuid') objectId!: string;
  @PrimaryColumn('uuid') operationId!: string;
  @TextColumn() mode!: string;
  /** False: the operation waits its turn (`?onBusy=wait`), in the order of `ticket`. */
  @Column('boolean') granted!: boolean;
  /** The ancestor whose lock on the object this one stands under: the two are never in each other's way. */
  @RefColumn({ nullable: true }) under!: string | null;
  @Column('bigint', { generated: 'identity' }) ticket!: string;
  @NowColumn() createdAt!: Date;
}
