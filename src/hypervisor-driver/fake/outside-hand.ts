import { type FSWatcher, mkdirSync, readdirSync, readFileSync, rmSync, watch } from 'node:fs';
import { join } from 'node:path';

/** What somebody may do to a guest without asking its agent, as `kill -9` of a QEMU does. */
export interface OutsideAct {
  readonly act: 'crash' | 'halt' | 'pause' | 'resume';
  readonly domainId: string;
}

/**
 * A folder in which somebody leaves acts, a file each, put there by a rename. Each is done and then its file is removed: one
 * that was left while no process looked is done by the next.
 */
export class OutsideHand {
  private readonly watcher: FSWatcher;

  constructor(
    private readonly folder: string,
    private readonly act: (act: OutsideAct) => void,
  ) {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    this.watcher = watch(folder, { persistent: false }, () => this.look());
    this.look();
  }

  close(): void {
    this.watcher.close();
  }

  private look(): void {
    for (const name of readdirSync(this.folder).filter((one) => one.endsWith('.json'))) {
      const path = join(this.folder, name);
      this.act(JSON.parse(readFileSync(path, 'utf8')) as OutsideAct);
      rmSync(path);
    }
  }
}
