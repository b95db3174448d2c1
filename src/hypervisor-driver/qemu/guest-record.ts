import { mkdir, open, readFile, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { domainSpec, observedState } from '../../agent-contract/index.js';
import { instant } from '../../kernel/schema/values.js';
import { type RunnableDomain } from '../driver.js';
import { replaceFile, replaceFileDurably, syncFolder } from '../shared/write-file.js';

/**
 * A domain's folder, `<domainsDir>/<domain id>/`, is what an agent that was not there finds out from:
 *   starting.json   a start under way: written before QEMU runs, renamed to spec.json before the guest does
 *   spec.json       the guest that runs, or that ran last
 *   process.json    which process it is
 *   outcome.json    how it ended, if someone saw
 *   console-<id>.log, qemu.log (what QEMU printed)
 */
const directBoot = z.object({
  kind: z.literal('direct'),
  kernel: z.string(),
  initramfs: z.string().nullable(),
  commandLine: z.string(),
});
const firmwareBoot = z.object({
  kind: z.literal('firmware'),
  firmware: z.literal('bios'),
  order: z.array(z.enum(['disk', 'network'])),
});
const disk = z.object({
  id: z.string(),
  path: z.string(),
  format: z.enum(['raw', 'qcow2']),
  bus: z.literal('virtio'),
  readOnly: z.boolean(),
});
const runnable: z.ZodType<RunnableDomain> = domainSpec.omit({ boot: true, disks: true, kept: true }).extend({
  boot: z.discriminatedUnion('kind', [directBoot, firmwareBoot]),
  disks: z.array(disk),
  // Kept for others: one that cannot be read any more must not make the guest's own record unreadable.
  origin: domainSpec.optional().catch(undefined),
});

const guestRecord = z.object({
  domain: runnable,
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
const outcome = z.object({
  generation: z.int(),
  state: observedState.extract(['halted', 'crashed']),
  reason: z.string().nullable(),
  at: instant,
});

export type GuestRecord = z.output<typeof guestRecord>;
export type ProcessRecord = z.output<typeof processRecord>;
export type Outcome = z.output<typeof outcome>;

export class DomainFolder {
  constructor(
    private readonly domainsDir: string,
    readonly domainId: string,
  ) {}

  get path(): string {
    return join(this.domainsDir, this.domainId);
  }
  get qemuLog(): string {
    return join(this.path, 'qemu.log');
  }
  consoleLog(consoleId: string): string {
    return join(this.path, `console-${consoleId}.log`);
  }

  /** The intent to start, as a file that another agent would see. `durable` settles when a power cut cannot take it. */
  async beginStart(record: GuestRecord): Promise<{ durable: Promise<void> }> {
    await mkdir(this.path, { recursive: true, mode: 0o700 });
    await replaceFile(this.file('starting.json'), JSON.stringify(record));
    const durable = Promise.all([
      syncFile(this.file('starting.json')),
      syncFolder(this.path),
      syncFolder(this.domainsDir),
    ]).then(() => undefined);
    durable.catch(() => undefined); // whoever awaits it hears of it; a start that fails first never asks
    return { durable };
  }

  /** The start is the present now. From here on the guest may run. */
  async commitStart(): Promise<void> {
    await rm(this.file('outcome.json'), { force: true });
    await rename(this.file('starting.json'), this.file('spec.json'));
  }

  /** Takes a start back, and puts back what it replaced. With nothing to put back, the folder goes. */
  async abandonStart(former: { record: GuestRecord; outcome: Outcome } | null): Promise<void> {
    if (!former) return this.remove();
    await rm(this.file('starting.json'), { force: true });
    await rm(this.file('process.json'), { force: true });
    await this.writeOutcome(former.outcome);
    await replaceFile(this.file('spec.json'), JSON.stringify(former.record));
  }

  writeProcess(record: ProcessRecord): Promise<void> {
    return replaceFile(this.file('process.json'), JSON.stringify(record));
  }

  writeOutcome(record: Outcome): Promise<void> {
    return replaceFileDurably(this.file('outcome.json'), JSON.stringify(record));
  }

  clearOutcome(): Promise<void> {
    return rm(this.file('outcome.json'), { force: true });
  }

  readStarting(): Promise<GuestRecord | null> {
    return readRecord(this.file('starting.json'), guestRecord);
  }
  readSpec(): Promise<GuestRecord | null> {
    return readRecord(this.file('spec.json'), guestRecord);
  }
  readProcess(): Promise<ProcessRecord | null> {
    return readRecord(this.file('process.json'), processRecord);
  }
  readOutcome(): Promise<Outcome | null> {
    return readRecord(this.file('outcome.json'), outcome);
  }

  /** The generation of the process, from whatever of the folder can still be read: any agent's records have had it there. */
  async guessGeneration(pid: number): Promise<number | null> {
    const told = await this.readProcess().catch(() => null);
    if (told?.pid === pid) return told.generation;
    const numbers = await Promise.all(
      ['starting.json', 'spec.json'].map(async (name) => {
        const text = await readFile(this.file(name), 'utf8').catch(() => '');
        const found = /"domain":\{.*?"generation":(\d+)/.exec(text)?.[1];
        return found === undefined ? 0 : Number(found);
      }),
    );
    return Math.max(...numbers) || null;
  }

  async readQemuLog(): Promise<string> {
    return readFile(this.qemuLog, 'utf8').catch(() => '');
  }

  remove(): Promise<void> {
    return rm(this.path, { recursive: true, force: true });
  }

  private file(name: string): string {
    return join(this.path, name);
  }
}

/** The folders below `domainsDir` that are named like domains. */
export async function domainFolders(domainsDir: string): Promise<DomainFolder[]> {
  await mkdir(domainsDir, { recursive: true, mode: 0o700 });
  const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
  return (await readdir(domainsDir))
    .filter((name) => uuid.test(name))
    .map((id) => new DomainFolder(domainsDir, id));
}

async function readRecord<T>(path: string, schema: z.ZodType<T>): Promise<T | null> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
  return schema.parse(JSON.parse(text));
}

async function syncFile(path: string): Promise<void> {
  const file = await open(path, 'r');
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}
