import { execFile } from 'node:child_process';
import { watch } from 'node:fs';

/** LVM's own programs, and the one that overwrites a device with zeros. */
export type LvmProgram =
  'lvm' | 'lvchange' | 'lvcreate' | 'lvremove' | 'lvrename' | 'vgchange' | 'blkdiscard';

export interface ToolResult {
  /** Null when it was ended by a signal. */
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** The machine's LVM, as far as the backend reaches into it. `localLvm` is that of the machine which this process runs on. */
export interface LvmTools {
  /** Runs the program with these words, without a shell, and resolves with how it ended; null when the machine has no such program. */
  run(program: LvmProgram, args: readonly string[]): Promise<ToolResult | null>;
  /** Calls `changed` when a name comes or goes in the folder. Nothing is watched where there is none. The returned function ends it. */
  watch(folder: string, changed: () => void): () => void;
}

/** LVM waits for its locks by itself; zeros are written at the speed of the disk. Longer than this is a disk that hangs. */
const TIMEOUT_MS = 3_600_000;
const OUTPUT_LIMIT_BYTES = 64 << 20;
const ENVIRONMENT = {
  PATH: '/usr/sbin:/usr/bin:/sbin:/bin',
  LC_ALL: 'C',
  LVM_SUPPRESS_FD_WARNINGS: '1',
};

export const localLvm: LvmTools = {
  run: (program, args) =>
    new Promise((resolve, reject) => {
      execFile(
        program,
        [...args],
        { env: ENVIRONMENT, timeout: TIMEOUT_MS, killSignal: 'SIGKILL', maxBuffer: OUTPUT_LIMIT_BYTES },
        (error, stdout, stderr) => {
          if (!error) return resolve({ code: 0, stdout, stderr });
          if (error.code === 'ENOENT') return resolve(null);
          if (error.killed || typeof error.code === 'number')
            return resolve({ code: error.killed ? null : Number(error.code), stdout, stderr });
          reject(error);
        },
      );
    }),
  watch: (folder, changed) => {
    try {
      const watcher = watch(folder, { persistent: false }, (kind) => {
        if (kind === 'rename') changed();
      });
      // The folder goes with the last volume that is active.
      watcher.on('error', changed);
      return () => watcher.close();
    } catch {
      return () => undefined;
    }
  },
};
