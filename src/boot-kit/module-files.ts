import { glob, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { loadOrder, moduleName, readModuleInfo } from './kernel-module.js';

/**
 * The wanted modules of a kernel and what they need, in load order. `folder` is its `lib/modules/<version>`; names that are
 * built into this kernel, or not made for it, are left out.
 */
export async function modulesWithNeeds(
  folder: string,
  wanted: readonly string[],
): Promise<{ name: string; data: Buffer }[]> {
  const files = new Map<string, string>();
  for await (const path of glob('kernel/**/*.ko', { cwd: folder })) {
    files.set(moduleName(path), join(folder, path));
  }
  if (files.size === 0) throw new Error(`No uncompressed kernel modules in ${folder}.`);
  const loaded = new Map<string, { data: Buffer; needs: string[] }>();
  // Dependencies are read level by level: only the wanted modules are opened, not all of the kernel's.
  let next: string[] = [...wanted];
  while (next.length > 0) {
    const found: string[] = [];
    for (const name of next) {
      const path = files.get(name);
      if (path === undefined || loaded.has(name)) continue;
      const data = await readFile(path);
      const depends = readModuleInfo(data).get('depends') ?? '';
      const needs = depends.split(',').filter(Boolean).map(moduleName);
      loaded.set(name, { data, needs });
      found.push(...needs);
    }
    next = found;
  }
  return loadOrder(wanted, (name) => loaded.get(name)?.needs ?? null).flatMap((name) => {
    const module = loaded.get(name);
    return module ? [{ name, data: module.data }] : [];
  });
}
