import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type ArchiveEntry } from '../../../src/boot-kit/index.js';
import { projectRoot } from '../../../src/launcher/project-root.js';

const applets = [
  'sh',
  'mount',
  'umount',
  'insmod',
  'switch_root',
  'sleep',
  'cp',
  'grep',
  'echo',
  'cat',
  'ls',
];

/** The little root file system in memory that finds the disk. What a run lays over the disk comes in an archive after it. */
export function initrdFiles(
  busybox: Uint8Array,
  modules: readonly { name: string; data: Uint8Array }[],
): ArchiveEntry[] {
  return [
    ...['proc', 'sys', 'dev', 'root', 'seed'].map((path): ArchiveEntry => ({
      path,
      kind: 'folder',
      mode: 0o755,
    })),
    { path: 'dev/console', kind: 'device', mode: 0o600, major: 5, minor: 1 },
    { path: 'bin/busybox', kind: 'file', mode: 0o755, data: busybox },
    ...applets.map((name): ArchiveEntry => ({ path: `bin/${name}`, kind: 'link', to: 'busybox' })),
    ...modules.map(({ name, data }): ArchiveEntry => ({
      path: `modules/${name}.ko`,
      kind: 'file',
      mode: 0o644,
      data,
    })),
    {
      path: 'modules/order',
      kind: 'file',
      mode: 0o644,
      data: Buffer.from(modules.map(({ name }) => `${name}.ko\n`).join('')),
    },
    {
      path: 'init',
      kind: 'file',
      mode: 0o755,
      data: readFileSync(join(projectRoot, 'test/lab/guest/initrd-init')),
    },
  ];
}
