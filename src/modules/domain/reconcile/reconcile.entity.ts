import { Check, Entity, ForeignKey, Index, PrimaryColumn } from 'typeorm';
import {
  IntColumn,
  JsonColumn,
  NowColumn,
  RefColumn,
  TextColumn,
  TimeColumn,
} from '../../../kernel/database/columns.js';

/** What is to be done, or was done lately, about a domain that is not what was asked of it. At most one a domain. */
@Entity('repair')
@Index('ix_repair_due', ['dueAt'], { where: 'due_at is not null' })
@Check(`action in ('start','force_off','pause','resume')`)
export class RepairEntity {
  @PrimaryColumn('uuid')
  @ForeignKey('DomainEntity', { onDelete: 'CASCADE' })
  domainId!: string;
  @TextColumn() action!: string;
  /** How often it was tried. It begins anew when somebody asks something of the domain, or after a while of peace. */
  @IntColumn({ default: 0 }) tries!: number;
  /** When it may be tried; null while its operation is at work, and after that. */
  @TimeColumn({ nullable: true }) dueAt!: Date | null;
  /** When it was tried last, and by which operation. */
  @TimeColumn({ nullable: true }) triedAt!: Date | null;
  @RefColumn({ nullable: true }) operationId!: string | null;
}

/** A guest that lives on a host under a generation that is over. Gone once the host says that it has ended. */
@Entity('overtaken_guest')
@Index(['domainId'])
@Check(`reaction in ('ending','left')`)
export class OvertakenGuestEntity {
  @PrimaryColumn('uuid')
  @ForeignKey('HostEntity', { onDelete: 'CASCADE' })
  hostId!: string;
  @PrimaryColumn('uuid')
  @ForeignKey('DomainEntity', { onDelete: 'CASCADE' })
  domainId!: string;
  /** At which it runs there. */
  @IntColumn() generation!: number;
  @TextColumn() state!: string;
  @TextColumn() reaction!: string;
  /** Why it must go; null for one that is left. */
  @TextColumn({ nullable: true }) why!: string | null;
  @NowColumn() foundAt!: Date;
}

/** A boot of a host: written once, in the transaction in which it was first heard of. */
@Entity('host_boot')
export class HostBootEntity {
  @PrimaryColumn('uuid')
  @ForeignKey('HostEntity', { onDelete: 'CASCADE' })
  hostId!: string;
  @PrimaryColumn('text') bootId!: string;
  /** What starts its domains; null until it was accepted, and for a boot after which nothing is to be started. */
  @RefColumn({ nullable: true }) operationId!: string | null;
  @NowColumn() at!: Date;
}

/** A domain that is to be started because its host has booted. */
@Entity('boot_start')
@Index(['domainId'])
export class BootStartEntity {
  @PrimaryColumn('uuid')
  @ForeignKey('HostEntity', { onDelete: 'CASCADE' })
  hostId!: string;
  @PrimaryColumn('text') bootId!: string;
  @PrimaryColumn('uuid')
  @ForeignKey('DomainEntity', { onDelete: 'CASCADE' })
  domainId!: string;
  /** As the domain's autostart said when its host had booted. */
  @IntColumn() place!: number;
  @IntColumn() delaySeconds!: number;
  /** The start that was accepted for it, in whose accepting transaction this is written. */
  @RefColumn({ nullable: true }) operationId!: string | null;
  /** How many starts before that one were not accepted, or failed. */
  @IntColumn({ default: 0 }) tries!: number;
  /** Set once nothing more will be tried. */
  @TimeColumn({ nullable: true }) endedAt!: Date | null;
  /** Why it was not started. */
  @JsonColumn({ nullable: true }) problem!: unknown;
}
