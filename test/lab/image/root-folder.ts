import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, readFile, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { type HostFile, hostFiles } from './host-files.js';
import { excluded } from './recipe.js';
import { runTool } from './run.js';

/** Debian 12 has one `/usr`: the packages' `/bin`, `/sbin` and `/lib` are links into it. */
export async function beginRoot(root: string): Promise<void> {
  for (const name of ['bin', 'sbin', 'lib', 'lib64']) {
    await mkdir(join(root, 'usr', name), { recursive: true });
    await symlink(`usr/${name}`, join(root, name));
  }
}

/** Lays a package's files into the root. None of its scripts runs; everything belongs to whoever builds. */
export async function layPackage(debPath: string, root: string, signal?: AbortSignal): Promise<void> {
  const archive = spawn('dpkg-deb', ['--fsys-tarfile', debPath], {
    stdio: ['ignore', 'pipe', 'inherit'],
    signal,
  });
  const tar = spawn(
    'tar',
    [
      ...['--extract', '--directory', root, '--no-same-owner', '--preserve-permissions'],
      ...['--keep-directory-symlink', '--warning=no-timestamp'],
      ...excluded.map((pattern) => `--exclude=${pattern}`),
    ],
    { stdio: [archive.stdout, 'ignore', 'pipe'], signal },
  );
  let said = '';
  tar.stderr?.on('data', (chunk: Buffer) => (said += chunk.toString()));
  const [[unpacked], [laid]] = (await Promise.all([once(archive, 'exit'), once(tar, 'exit')])) as [
    [number],
    [number],
  ];
  if (unpacked !== 0 || laid !== 0) throw new Error(`${debPath} cannot be unpacked: ${said.trim()}`);
}

/** The lab's own files over those of the packages, and what packages' scripts would have made that is missed here. */
export async function finishRoot(root: string, signal?: AbortSignal): Promise<void> {
  const master = (name: string) => readFile(join(root, 'usr/share/base-passwd', `${name}.master`), 'utf8');
  for (const entry of hostFiles({ passwd: await master('passwd'), group: await master('group') }))
    await writeEntry(root, entry);
  await runTool(join(root, 'usr/sbin/ldconfig'), ['-r', root], { signal });
}

/** The root's own depmod, started by the root's own loader: this machine may have neither kmod nor the same libraries. */
export async function indexModules(root: string, kernelVersion: string, signal?: AbortSignal): Promise<void> {
  const libraries = join(root, 'usr/lib/x86_64-linux-gnu');
  const [loader] = (await readdir(libraries)).filter((name) => /^ld-linux-x86-64\.so/.test(name));
  if (loader === undefined) throw new Error(`There is no loader in ${libraries}.`);
  await runTool(
    join(libraries, loader),
    [
      ...['--library-path', libraries, '--argv0', 'depmod', join(root, 'usr/bin/kmod')],
      ...['-b', root, kernelVersion],
    ],
    { signal },
  );
}

async function writeEntry(root: string, entry: HostFile): Promise<void> {
  const path = join(root, entry.path);
  await mkdir('folder' in entry ? path : dirname(path), { recursive: true });
  if ('folder' in entry) return chmod(path, entry.folder);
  await rm(path, { force: true, recursive: true });
  if ('to' in entry) return symlink(entry.to, path);
  await writeFile(path, entry.text);
  await chmod(path, entry.mode);
}
