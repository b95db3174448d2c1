import { Column, Entity, Index } from 'typeorm';
import { IdColumn, NowColumn, TextColumn, TimeColumn } from '../../kernel/database/columns.js';

/** A bearer token. Only the SHA-256 of its 256 random bits is kept. */
@Entity('api_token')
export class ApiTokenEntity {
  @IdColumn() id!: string;
  @TextColumn() name!: string;
  @TextColumn() role!: string;
  @Column('bytea')
  @Index({ unique: true })
  secretHash!: Buffer;
  @NowColumn() createdAt!: Date;
  @TimeColumn({ nullable: true }) revokedAt!: Date | null;
}
