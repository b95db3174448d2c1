import { mkdir, open, readFile, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { domainSpec, observedState } from '../../agent-contract/index.js';
import { instant } from '../../kernel/schema/values.js';
import { type RunnableDomain } from '../driver.js';
import { replaceFile, replaceFileDurably, syncFolder } from './write-file.js';

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
export const runnableDomain: z.ZodType<RunnableDomain> = domainSpec
  .omit({ boot: true, disks: true, kept: true })
  .extend({
    boot: z.discriminatedUnion('kind', [directBoot, firmwareBoot]),
    disks: z.array(disk),
    // Kept for others: one that cannot be read any more must not make the guest's own record unreadable.
    origin: domainSpec.optional().catch(undefined),
  });
const outcome = z.object({
  generation: z.int(),
  state: observedState.extract(['halted', 'crashed']),
  reason: z.string().nullable(),
  at: instant,
});

/** How a guest came to its end. */
export type Outcome = z.output<typeof outcome>;

/** What every driver's record of a guest has. */
export interface RecordOfGuest {
  readonly domain: RunnableDomain;
  /** Of the machine's boot in which it was started. */
  readonly bootId: string;
}

/**
 * A domain's folder, `<domainsDir>/<domain id>/`, is what an agent that was not there finds out from:
 *   starting.json   a start under way: written before anything runs, renamed to spec.json when the start is done
 *   spec.json       the guest that runs, or that ran last
 *   outcome.json    how it ended, if someone saw
 *   console-<id>.log
 * and what a driver adds.
 */
export class RecordFolder<R extends RecordOfGuest> {
  constructor(
    private readonly domainsDir: string,
    readonly domainId: string,
    private readonly schema: z.ZodType<R>,
  ) {}

  get path(): string {
    return join(this.domainsDir, this.domainId);
  }
  consoleLog(consoleId: string): string {
    return join(this.path, `console-${consoleId}.log`);
  }

  /** The intent to start, as a file that another agent would see. `durable` settles when a power cut cannot take it. */
  async beginStart(record: R): Promise<{ durable: Promise<void> }> {
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

  /** The start is the present now. */
  async commitStart(): Promise<void> {
    await rm(this.file('outcome.json'), { force: true });
    await rename(this.file('starting.json'), this.file('spec.json'));
  }

  /** Takes a start back, and puts back what it replaced. With nothing to put back, the folder goes. */
  async abandonStart(former: { record: R; outcome: Outcome } | null): Promise<void> {
    if (!former) return this.remove();
    await rm(this.file('starting.json'), { force: true });
    await this.writeOutcome(former.outcome);
    await replaceFile(this.file('spec.json'), JSON.stringify(former.record));
  }

  writeOutcome(record: Outcome): Promise<void> {
    return replaceFileDurably(this.file('outcome.json'), JSON.stringify(record));
  }

  clearOutcome(): Promise<void> {
    return rm(this.file('outcome.json'), { force: true });
  }

  readStarting(): Promise<R | null> {
    return readRecord(this.file('starting.json'), this.schema);
  }
  readSpec(): Promise<R | null> {
    return readRecord(this.file('spec.json'), this.schema);
  }
  readOutcome(): Promise<Outcome | null> {
    return readRecord(this.file('outcome.json'), outcome);
  }

  /** The highest generation in whatever of the records can still be read: any agent's have had it there. */
  async guessGeneration(): Promise<number | null> {
    const numbers = await Promise.all(
      ['starting.json', 'spec.json'].map(async (name) => {
        const text = await readFile(this.file(name), 'utf8').catch(() => '');
        const found = /"domain":\{.*?"generation":(\d+)/.exec(text)?.[1];
        return found === undefined ? 0 : Number(found);
      }),
    );
    return Math.max(...numbers) || null;
  }

  remove(): Promise<void> {
    return rm(this.path, { recursive: true, force: true });
  }

  protected file(name: string): string {
    return join(this.path, name);
  }
}

/** The domains that have a folder below `domainsDir`. */
export async function domainsIn(domainsDir: string): Promise<string[]> {
  await mkdir(domainsDir, { recursive: true, mode: 0o700 });
  const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
  return (await readdir(domainsDir)).filter((name) => uuid.test(name));
}

export async function readRecord<T>(path: string, schema: z.ZodType<T>): Promise<T | null> {
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
