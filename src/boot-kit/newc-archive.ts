/** One entry of a root file system in the making. Folders above it are added by `newcArchive`. */
export type ArchiveEntry =
  | { readonly path: string; readonly kind: 'file'; readonly mode: number; readonly data: Uint8Array }
  | { readonly path: string; readonly kind: 'link'; readonly to: string }
  | { readonly path: string; readonly kind: 'folder'; readonly mode: number }
  | {
      readonly path: string;
      readonly kind: 'device';
      readonly mode: number;
      readonly major: number;
      readonly minor: number;
    };

const KIND_BITS = { file: 0o100000, folder: 0o040000, link: 0o120000, device: 0o020000 } as const;

/**
 * The entries as a cpio archive in the `newc` format that the Linux kernel unpacks as its first root file system.
 * All owners are root and all times zero, so that the same entries give the same bytes.
 */
export function newcArchive(entries: readonly ArchiveEntry[]): Buffer {
  const parts: Buffer[] = [];
  let inode = 1;
  for (const entry of withFolders(entries)) parts.push(...encode(entry, inode++));
  parts.push(...encode({ path: 'TRAILER!!!', kind: 'file', mode: 0, data: new Uint8Array() }, 0));
  return Buffer.concat(parts);
}

function withFolders(entries: readonly ArchiveEntry[]): ArchiveEntry[] {
  const all = new Map<string, ArchiveEntry>();
  for (const entry of entries) {
    if (entry.path === '' || entry.path.startsWith('/') || entry.path.split('/').includes('..')) {
      throw new Error(`An archive path must be relative and stay inside: ${entry.path}`);
    }
    const steps = entry.path.split('/');
    for (let depth = 1; depth < steps.length; depth++) {
      const path = steps.slice(0, depth).join('/');
      if (!all.has(path)) all.set(path, { path, kind: 'folder', mode: 0o755 });
    }
    all.set(entry.path, entry);
  }
  return [...all.values()];
}

function encode(entry: ArchiveEntry, inode: number): Buffer[] {
  const name = Buffer.from(`${entry.path}\0`);
  const data = entry.kind === 'file' ? entry.data : Buffer.from(entry.kind === 'link' ? entry.to : '');
  const trailer = inode === 0;
  const mode = trailer ? 0 : KIND_BITS[entry.kind] | (entry.kind === 'link' ? 0o777 : entry.mode);
  const [major, minor] = entry.kind === 'device' ? [entry.major, entry.minor] : [0, 0];
  const links = entry.kind === 'folder' ? 2 : 1;
  const fields = [inode, mode, 0, 0, links, 0, data.length, 0, 0, major, minor, name.length, 0];
  const header = `070701${fields.map((field) => field.toString(16).toUpperCase().padStart(8, '0')).join('')}`;
  return [padded(Buffer.concat([Buffer.from(header), name])), padded(Buffer.from(data))];
}

function padded(bytes: Buffer): Buffer {
  const missing = (4 - (bytes.length % 4)) % 4;
  return missing === 0 ? bytes : Buffer.concat([bytes, Buffer.alloc(missing)]);
}
