import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { isAlive, type ProcessIdentity } from '../../src/launcher/process/process-table.js';

const record = z.object({
  name: z.string(),
  kind: z.enum(['xen', 'plain']),
  number: z.int().min(1),
  systemd: z.boolean(),
  ports: z.object({ ssh: z.int(), agent: z.int() }),
  /** It has been online once: its disk holds who it is. */
  enrolled: z.boolean(),
  machine: z.object({ pid: z.int(), startTicks: z.string() }),
});

/** A host of the standing lab, as its folder remembers it between two calls of the command. */
export type HostRecord = z.output<typeof record>;

/** The folder of a standing lab: a folder a host, with its disks, its log and `host.json`. */
export class StandingFolder {
  constructor(readonly path: string) {
    mkdirSync(path, { recursive: true, mode: 0o700 });
  }

  folderOf(name: string): string {
    return join(this.path, name);
  }

  all(): HostRecord[] {
    return readdirSync(this.path)
      .map((name) => this.find(name))
      .filter((one) => one !== undefined)
      .sort((one, other) => one.number - other.number);
  }

  find(name: string): HostRecord | undefined {
    const file = join(this.folderOf(name), 'host.json');
    return existsSync(file) ? record.parse(JSON.parse(readFileSync(file, 'utf8'))) : undefined;
  }

  /** A reader sees the old record or the new one. */
  save(host: HostRecord): void {
    const file = join(this.folderOf(host.name), 'host.json');
    writeFileSync(`${file}.new`, `${JSON.stringify(host, null, 2)}\n`, { mode: 0o600 });
    renameSync(`${file}.new`, file);
  }
}

export const runs = ({ machine }: { machine: ProcessIdentity }): boolean => isAlive(machine);
