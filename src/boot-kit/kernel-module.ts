/**
 * The key=value pairs of a kernel module's `.modinfo` section (a 64-bit little-endian ELF file, as on x86 and arm64).
 * Reading it here spares us depmod, which needs kmod on the machine.
 */
export function readModuleInfo(elf: Uint8Array): Map<string, string> {
  const file = Buffer.from(elf.buffer, elf.byteOffset, elf.byteLength);
  if (file.length < 64 || file.readUInt32BE(0) !== 0x7f454c46 || file[4] !== 2 || file[5] !== 1) {
    throw new Error('not an uncompressed 64-bit little-endian ELF file');
  }
  const table = Number(file.readBigUInt64LE(40));
  const entrySize = file.readUInt16LE(58);
  const section = (index: number) => {
    const at = table + index * entrySize;
    return {
      name: file.readUInt32LE(at),
      offset: Number(file.readBigUInt64LE(at + 24)),
      size: Number(file.readBigUInt64LE(at + 32)),
    };
  };
  const names = section(file.readUInt16LE(62));
  const info = new Map<string, string>();
  for (let index = 0; index < file.readUInt16LE(60); index++) {
    const { name, offset, size } = section(index);
    const from = names.offset + name;
    if (file.toString('latin1', from, file.indexOf(0, from)) !== '.modinfo') continue;
    for (const pair of file.toString('utf8', offset, offset + size).split('\0')) {
      const equals = pair.indexOf('=');
      if (equals > 0) info.set(pair.slice(0, equals), pair.slice(equals + 1));
    }
  }
  return info;
}

/** Module names are compared with `_`; files may be named with `-`. */
export const moduleName = (fileName: string): string =>
  (fileName.split('/').at(-1) ?? '').replace(/\.ko$/, '').replaceAll('-', '_');

/**
 * The wanted modules and what they need, each after what it needs. Names that `dependsOf` does not know (null) are
 * built into this kernel, or not made for it, and are left out.
 */
export function loadOrder(
  wanted: readonly string[],
  dependsOf: (name: string) => readonly string[] | null,
): string[] {
  const ordered = new Set<string>();
  const visiting = new Set<string>();
  const visit = (name: string): void => {
    if (ordered.has(name) || visiting.has(name)) return;
    const needs = dependsOf(name);
    if (needs === null) return;
    visiting.add(name);
    needs.forEach(visit);
    ordered.add(name);
  };
  wanted.forEach(visit);
  return [...ordered];
}
