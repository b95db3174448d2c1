import { watch } from 'node:fs';
import { type FileHandle } from 'node:fs/promises';
import { openVolumes, VOLUMES } from './volume-files.js';

/**
 * Tells when a name came or went in the repository's folder of volumes, or the folder itself did. The kernel's watch is on the
 * folder that was opened and checked, not on its path; it ends with the folder, which is a change as well.
 */
export async function watchVolumeFolder(root: FileHandle, changed: () => void): Promise<() => void> {
  const stops: (() => void)[] = [];
  const follow = (folder: FileHandle, of: (name: string | null) => boolean) => {
    const watcher = watch(`/proc/self/fd/${folder.fd}/.`, { persistent: false }, (kind, name) => {
      // A guest that writes into its volume is no news; only names are.
      if (kind === 'rename' && of(name)) changed();
    });
    watcher.on('error', changed);
    stops.push(() => watcher.close());
  };
  follow(root, (name) => name === null || name === VOLUMES);
  const volumes = await openVolumes(root, { create: false });
  if (volumes) {
    try {
      // `.` is the folder itself; other names with a dot in front are drafts.
      follow(volumes, (name) => name === null || name === '.' || !name.startsWith('.'));
    } finally {
      await volumes.close();
    }
  }
  return () => {
    for (const stop of stops) stop();
  };
}
