import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { instant } from '../../kernel/schema/values.js';
import {
  domainsIn,
  type Outcome,
  readRecord,
  RecordFolder,
  runnableDomain,
} from '../shared/record-folder.js';
import { replaceFile } from '../shared/write-file.js';

const guestRecord = z.object({
  domain: runnableDomain,
  bootId: z.string(),
  startedAt: instant,
  qmpSocket: z.string(),
  consoles: z.array(z.object({ id: z.string(), socket: z.string(), log: z.string() })),
});
const processRecord = z.object({
  generation: z.int(),
  pid: z.int().positive(),
  /** When the kernel started it, in clock ticks since boot: with it a reused pid is never mistaken. */
  startTicks: z.string(),
  bootId: z.string(),
});

export type GuestRecord = z.output<typeof guestRecord>;
export type ProcessRecord = z.output<typeof processRecord>;
export type { Outcome };

/**
 * A domain's folder (shared/record-folder.ts). QEMU adds:
 *   process.json    which process it is
 *   qemu.log        what QEMU printed
 */
export class DomainFolder extends RecordFolder<GuestRecord> {
  constructor(domainsDir: string, domainId: string) {
    super(domainsDir, domainId, guestRecord);
  }

  get qemuLog(): string {
    return join(this.path, 'qemu.log');
  }

  override async abandonStart(former: { record: GuestRecord; outcome: Outcome } | null): Promise<void> {
    await rm(this.file('process.json'), { force: true });
    await super.abandonStart(former);
  }

  writeProcess(record: ProcessRecord): Promise<void> {
    return replaceFile(this.file('process.json'), JSON.stringify(record));
  }
  readProcess(): Promise<ProcessRecord | null> {
    return readRecord(this.file('process.json'), processRecord);
  }

  /** The generation of the process, from whatever of the folder can still be read. */
  async generationOf(pid: number): Promise<number | null> {
    const told = await this.readProcess().catch(() => null);
    return told?.pid === pid ? told.generation : this.guessGeneration();
  }

  async readQemuLog(): Promise<string> {
    return readFile(this.qemuLog, 'utf8').catch(() => '');
  }
}

/** The folders below `domainsDir` that are named like domains. */
export const domainFolders = async (domainsDir: string): Promise<DomainFolder[]> =>
  (await domainsIn(domainsDir)).map((id) => new DomainFolder(domainsDir, id));
