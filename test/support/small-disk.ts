import { execFileSync } from 'node:child_process';
import {
  closeSync,
  fstatSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  rmdirSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { scratchFolder } from './scratch-folder.js';

/** A file system of its own in a folder, small enough to be filled to its last byte. */
export class SmallDisk {
  private constructor(readonly path: string) {}

  /** Only root may. Whoever mounts it unmounts it, and tells the janitor of it where there is one. */
  static mount(path: string, bytes: number): SmallDisk {
    mkdirSync(path, { recursive: true, mode: 0o700 });
    run('mount', ['-t', 'tmpfs', '-o', `size=${bytes},mode=0700`, 'domus-small-disk', path]);
    return new SmallDisk(path);
  }

  /** Nothing goes on it any more, not a page into a file that grows; or so many bytes (whole pages of 4096) and no more. */
  fill({ butFor = 0 }: { butFor?: number } = {}): void {
    const file = openSync(this.ballast, 'a', 0o600);
    try {
      for (const size of [1 << 20, 4_096]) while (took(file, size));
      ftruncateSync(file, fstatSync(file).size - butFor);
    } finally {
      closeSync(file);
    }
  }

  /** There is room again. */
  free(): void {
    rmSync(this.ballast, { force: true });
  }

  /** What is on it is gone. Also while somebody has a file on it open; again is no error. */
  unmount(): void {
    try {
      run('umount', ['--lazy', this.path]);
    } catch {
      // It was unmounted before.
    }
  }

  private get ballast(): string {
    return join(this.path, 'ballast');
  }
}

/** Why there can be no small disk here; null where there can. */
export function smallDiskObstacle(): string | null {
  const scratch = scratchFolder('mount');
  const place = join(scratch.path, 'disk');
  try {
    SmallDisk.mount(place, 1 << 20).unmount();
    rmdirSync(place);
    return null;
  } catch {
    return 'a file system that can be filled must be mounted, which only root may';
  } finally {
    scratch.remove();
  }
}

function took(file: number, size: number): boolean {
  try {
    return writeSync(file, Buffer.alloc(size)) > 0;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOSPC') return false;
    throw error;
  }
}

const run = (program: string, args: string[]): void => {
  execFileSync(program, args, { stdio: 'ignore' });
};
