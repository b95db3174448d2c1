import { execFile } from 'node:child_process';
import { type FileHandle } from 'node:fs/promises';
import { capabilityAbsent, repositoryFull } from '../../agent-contract/index.js';

const TIMEOUT_MS = 45_000;

/** Makes an empty qcow2 image as `name` in an open folder. `capability.absent` when there is no qemu-img. */
export type CreateQcow2 = (folder: FileHandle, name: string, sizeBytes: number) => Promise<void>;

/**
 * By the program at `binary`. The folder becomes the working folder, so that no path of the repository stands in argv:
 * qemu-img would read one with a colon as the name of a protocol.
 */
export function createQcow2With(binary: string): CreateQcow2 {
  return (folder, name, sizeBytes) =>
    new Promise((resolve, reject) => {
      execFile(
        binary,
        ['create', '-q', '-f', 'qcow2', '--', name, String(sizeBytes)],
        { cwd: `/proc/${process.pid}/fd/${folder.fd}`, env: { LC_ALL: 'C' }, timeout: TIMEOUT_MS },
        (error, _stdout, stderr) => {
          if (!error) return resolve();
          if (error.code === 'ENOENT') {
            return reject(capabilityAbsent('This host has no qemu-img, which makes qcow2 volumes.'));
          }
          if (/No space left on device|Disk quota exceeded/.test(stderr)) {
            return reject(repositoryFull('The disk is full.', { cause: error }));
          }
          reject(new Error(`qemu-img create failed: ${stderr.trim()}`, { cause: error }));
        },
      );
    });
}
