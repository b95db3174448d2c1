import { Check, Column, Entity, ForeignKey, Index } from 'typeorm';
import {
  IdColumn,
  IntColumn,
  NowColumn,
  RefColumn,
  TextColumn,
  TimeColumn,
} from '../../kernel/database/columns.js';

@Entity('console')
@Index(['domainId', 'kind'], { unique: true })
@Check(`kind in ('serial')`)
export class ConsoleEntity {
  @IdColumn() id!: string;
  @RefColumn()
  @ForeignKey('DomainEntity', { onDelete: 'CASCADE' })
  domainId!: string;
  @TextColumn() kind!: string;
  @NowColumn() createdAt!: Date;
}

/**
 * A right to connect once, soon, to the guest that ran when it was given: one host, one generation. Of its token only
 * the SHA-256 is kept. Rows go a month after they ran out (`console.retention.ts`).
 */
@Entity('console_session')
@Index(['expiresAt'])
@Check(`mode in ('drive','watch')`)
export class ConsoleSessionEntity {
  @IdColumn() id!: string;
  @RefColumn()
  @ForeignKey('ConsoleEntity', { onDelete: 'CASCADE' })
  consoleId!: string;
  @RefColumn()
  @ForeignKey('HostEntity', { onDelete: 'CASCADE' })
  hostId!: string;
  /** Of the domain. A guest that was started since is another guest. */
  @IntColumn() generation!: number;
  @TextColumn() mode!: string;
  @TextColumn() actor!: string;
  @Column('bytea')
  @Index({ unique: true })
  tokenHash!: Buffer;
  @TimeColumn() expiresAt!: Date;
  @TimeColumn({ nullable: true }) connectedAt!: Date | null;
  @TimeColumn({ nullable: true }) endedAt!: Date | null;
  /** Why it ended: the code that closed it. */
  @IntColumn({ nullable: true }) closeCode!: number | null;
  @NowColumn() createdAt!: Date;
}
