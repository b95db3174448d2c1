import { Column, Entity, ForeignKey, Index, PrimaryColumn } from 'typeorm';
import { IdColumn, NowColumn, RefColumn, TextColumn, TimeColumn } from '../kernel/database/columns.js';

/** A pool's certificate authority. The key is sealed (AES-256-GCM) with the server's secret key file. */
@Entity('pool_authority')
export class PoolAuthorityEntity {
  @PrimaryColumn('uuid')
  @ForeignKey('PoolEntity', { onDelete: 'CASCADE' })
  poolId!: string;
  @TextColumn() certificate!: string;
  @Column('bytea') sealedKey!: Buffer;
  @NowColumn() createdAt!: Date;
}

/** A one-time token. Of its secret only the SHA-256 is kept. */
@Entity('enrolment_token')
export class EnrolmentTokenEntity {
  @IdColumn() id!: string;
  @RefColumn()
  @ForeignKey('PoolEntity', { onDelete: 'CASCADE' })
  poolId!: string;
  @Column('bytea')
  @Index({ unique: true })
  secretHash!: Buffer;
  /** Set: only a host of this name may use it. */
  @TextColumn({ nullable: true }) hostName!: string | null;
  @TimeColumn() expiresAt!: Date;
  @TimeColumn({ nullable: true }) usedAt!: Date | null;
  @RefColumn({ nullable: true }) hostId!: string | null;
  @NowColumn() createdAt!: Date;
}
