import { rm, stat } from 'node:fs/promises';
import { z } from 'zod';
import { instant } from '../../kernel/schema/values.js';
import { domainsIn, readRecord, RecordFolder, runnableDomain } from '../shared/record-folder.js';
import { replaceFile, replaceFileDurably } from '../shared/write-file.js';

const guestRecord = z.object({ domain: runnableDomain, bootId: z.string(), startedAt: instant });
const rebootRecord = z.object({ generation: z.int() });

export type GuestRecord = z.output<typeof guestRecord>;

/**
 * A domain's folder (shared/record-folder.ts). Xen adds:
 *   rebooting.json  the guest boots again: its Xen domain is, or is about to be, destroyed, and it is to be made anew
 *   xl.cfg          what xl was given last, for people; nobody reads it
 */
export class DomainFolder extends RecordFolder<GuestRecord> {
  constructor(domainsDir: string, domainId: string) {
    super(domainsDir, domainId, guestRecord);
  }

  override async commitStart(): Promise<void> {
    await this.endReboot();
    await super.commitStart();
  }

  override async abandonStart(
    former: Parameters<RecordFolder<GuestRecord>['abandonStart']>[0],
  ): Promise<void> {
    await this.endReboot();
    await super.abandonStart(former);
  }

  beginReboot(generation: number): Promise<void> {
    return replaceFileDurably(this.file('rebooting.json'), JSON.stringify({ generation }));
  }
  endReboot(): Promise<void> {
    return rm(this.file('rebooting.json'), { force: true });
  }
  async isRebooting(generation: number): Promise<boolean> {
    return (await readRecord(this.file('rebooting.json'), rebootRecord))?.generation === generation;
  }

  /** Whether an xl may still be at work on it. */
  async isBeingMade(): Promise<boolean> {
    const there = (name: string) =>
      stat(this.file(name)).then(
        () => true,
        () => false,
      );
    return (await there('starting.json')) || (await there('rebooting.json'));
  }

  writeConfig(text: string): Promise<void> {
    return replaceFile(this.file('xl.cfg'), text);
  }
}

export const domainFolders = async (domainsDir: string): Promise<DomainFolder[]> =>
  (await domainsIn(domainsDir)).map((id) => new DomainFolder(domainsDir, id));
