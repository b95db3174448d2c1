import { execFile } from 'node:child_process';
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { dependencyNames, parseSimulatedInstall, parseStanzas } from './apt-output.js';

const run = promisify(execFile);
const DOWNLOAD_TIMEOUT_MS = 300_000;

/** Something that is needed is not at hand and could not, or must not, be fetched. The message is one sentence for people. */
export class PackageUnavailable extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'PackageUnavailable';
  }
}

export interface DownloadedPackage {
  readonly name: string;
  readonly version: string;
  readonly debPath: string;
}

/**
 * Debian's archive as this machine is configured to reach it (sources, keys, proxy), with package lists of our own:
 * needs no root and changes nothing on the machine. Signatures are checked by apt as ever.
 */
export interface AptSource {
  /** dpkg's word for this machine: `amd64`, `arm64`. */
  readonly architecture: string;
  /** The names in the candidate's Depends, alternatives included. */
  dependsOf(name: string): Promise<string[]>;
  /** `names`, and every package that they need and this machine (or the empty root) has not installed. */
  withMissingDependencies(names: readonly string[]): Promise<string[]>;
  /** Downloads the candidates' .deb files to below `folder`. */
  download(names: readonly string[], folder: string): Promise<DownloadedPackage[]>;
}

/**
 * Fetches the package lists into `folder` (a few seconds). `PackageUnavailable` without apt or network.
 * `forEmptyRoot`: as seen from a root file system in the making, where nothing is installed yet.
 */
export async function openAptSource(
  folder: string,
  signal?: AbortSignal,
  { forEmptyRoot = false } = {},
): Promise<AptSource> {
  const lists = join(folder, 'lists');
  const archives = join(folder, 'archives');
  const nothingInstalled = join(folder, 'status');
  await mkdir(join(lists, 'partial'), { recursive: true });
  await mkdir(join(archives, 'partial'), { recursive: true });
  if (forEmptyRoot) await writeFile(nothingInstalled, '');
  const options = [
    ...(forEmptyRoot ? [['Dir::State::status', nothingInstalled]] : []),
    ['Dir::State::Lists', lists],
    ['Dir::Cache', folder],
    ['Dir::Cache::Archives', archives],
    // Container images switch apt's own caches off; without them every call below reads the lists anew.
    ['Dir::Cache::pkgcache', 'pkgcache.bin'],
    ['Dir::Cache::srcpkgcache', 'srcpkgcache.bin'],
    ['Debug::NoLocking', '1'],
    ['APT::Sandbox::User', 'root'], // the unprivileged user of apt could not enter our 0700 folder
    ['Acquire::Languages', 'none'],
    ['Acquire::Retries', '2'],
    ['APT::Get::List-Cleanup', '0'],
  ].flatMap(([key, value]) => ['-o', `${key}=${value}`]);
  const call = async (tool: string, args: string[], cwd = folder): Promise<string> => {
    const { stdout } = await run(tool, args, {
      cwd,
      signal,
      timeout: DOWNLOAD_TIMEOUT_MS,
      maxBuffer: 64 << 20,
    });
    return stdout;
  };
  const apt = (tool: string, args: string[], what: string, cwd?: string): Promise<string> =>
    call(tool, ['-q', ...options, ...args], cwd).catch((error: unknown) => {
      throw unavailable(what, error);
    });

  const architecture = (
    await call('dpkg', ['--print-architecture']).catch((error: unknown) => {
      throw unavailable('this machine has no dpkg, so no Debian packages can be fetched', error);
    })
  ).trim();
  await apt('apt-get', ['update', '--error-on=any'], 'the package lists of Debian cannot be fetched');

  return {
    architecture,
    async dependsOf(name) {
      const shown = await apt(
        'apt-cache',
        ['show', '--no-all-versions', name],
        `Debian has no package ${name}`,
      );
      return dependencyNames(parseStanzas(shown)[0]?.get('depends') ?? '');
    },
    async withMissingDependencies(names) {
      const simulated = await apt(
        'apt-get',
        ['--simulate', '--reinstall', '--no-install-recommends', 'install', '--', ...names],
        `Debian cannot offer ${names.join(', ')}`,
      );
      return [...new Set([...names, ...parseSimulatedInstall(simulated)])];
    },
    async download(names, into) {
      const own = join(into, 'downloads');
      await mkdir(own, { recursive: true });
      await apt(
        'apt-get',
        ['download', '--', ...names],
        `the packages ${names.join(', ')} cannot be downloaded`,
        own,
      );
      const files = (await readdir(own)).filter((entry) => entry.endsWith('.deb')).sort();
      return Promise.all(
        files.map(async (file) => {
          const debPath = join(own, file);
          const [name = '', version = ''] = (
            await call('dpkg-deb', ['--show', '--showformat', '${Package} ${Version}', debPath])
          ).split(' ');
          return { name, version, debPath };
        }),
      );
    },
  };
}

/** Unpacks the files of a package below `folder`. None of its scripts runs; nothing is installed. */
export async function unpackDeb(debPath: string, folder: string, signal?: AbortSignal): Promise<void> {
  await run('dpkg-deb', ['--extract', debPath, folder], { signal, timeout: DOWNLOAD_TIMEOUT_MS });
}

function unavailable(what: string, error: unknown): Error {
  if (error instanceof Error && error.name === 'AbortError') return error;
  const { stderr, code } = error as { stderr?: string; code?: unknown };
  const said =
    code === 'ENOENT'
      ? 'apt is not installed'
      : (stderr ?? '')
          .split('\n')
          .find((line) => /^(E|Err|W):/.test(line))
          ?.replace(/^\w+:\s*/, '');
  const sentence = what.charAt(0).toUpperCase() + what.slice(1);
  return new PackageUnavailable(said ? `${sentence}: ${said}` : `${sentence}.`, { cause: error });
}
