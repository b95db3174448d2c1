import { Check, Column, Entity, ForeignKey, Index } from 'typeorm';
import { IdColumn, NowColumn, RefColumn, TextColumn, TimeColumn } from '../../kernel/database/columns.js';

@Entity('console')
@Index(['domainId', 'kind'], { unique: true })
@Check(`kind in ('serial')`)
export class ConsoleEntity {
  @IdColumn() id!: string;
  @RefColumn()
  @ForeignKey('DomainEntity', { onDelete: 'CASCADE' })
  domainId!: string;
  @TextColumn() kind!: string;
}

/** A right to connect once, soon. Of its token only the SHA-256 is kept. */
@Entity('console_session')
@Check(`mode in ('drive','watch')`)
export class ConsoleSessionEntity {
  @IdColumn() id!: string;
  @RefColumn()
  @ForeignKey('ConsoleEntity', { onDelete: 'CASCADE' })
  consoleId!: string;
  @TextColumn() mode!: string;
  @TextColumn() actor!: string;
  @Column('bytea')
  @Index({ unique: true })
  tokenHash!: Buffer;
  @TimeColumn() expiresAt!: Date;
  @TimeColumn({ nullable: true }) connectedAt!: Date | null;
  @TimeColumn({ nullable: true }) endedAt!: Date | null;
  @NowColumn() createdAt!: Date;
}
