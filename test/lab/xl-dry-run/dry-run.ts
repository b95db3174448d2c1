import { createHash } from 'node:crypto';
import { execFile } from 'node:child_process';
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PackageUnavailable } from '../../../src/debian-package/index.js';
import { findProgram } from '../../../src/launcher/qemu-packages.js';
import { projectRoot } from '../../../src/launcher/project-root.js';
import { scratchFolder } from '../../support/scratch-folder.js';
import { testCache, unpacked } from '../../support/unpacked.js';
import { runTool } from '../image/run.js';

/** The Xen whose numbers the shim knows. */
const XEN = '4.17';

export interface DryRun {
  /** Of xl: 0 also for many a configuration that means nothing. What counts is what it says it would make. */
  readonly code: number;
  /** What libxl would be asked to make; null if xl refused. */
  readonly config: unknown;
  readonly err: string;
}

export interface XlParser {
  /** Reads a configuration with the real xl, in milliseconds, and makes nothing. */
  dryRun(config: string): Promise<DryRun>;
}

/**
 * The real xl of Debian, unpacked and run on this machine without Xen. Its exit code proves nothing: unknown keys vanish.
 * Compare what it says field by field with what was asked. The obstacle where it cannot run, in words.
 */
export async function openXlParser(): Promise<XlParser | string> {
  if (process.arch !== 'x64')
    return `Xen's tools are unpacked for x86_64 and this machine is ${process.arch}`;
  const compiler = findProgram('cc', process.env['PATH'] ?? '');
  if (compiler === undefined) return 'this machine has no C compiler cc for the shim before xl';
  let tree: Awaited<ReturnType<typeof unpacked>>;
  try {
    tree = await unpacked([`xen-utils-${XEN}`]);
  } catch (error) {
    if (error instanceof PackageUnavailable) return error.message.replaceAll(/[()]/g, '').replace(/\.$/, '');
    throw error;
  }
  const shim = await compileShim(compiler);
  const xl = join(tree.folder, `usr/lib/xen-${XEN}/bin/xl`);
  return { dryRun: (config) => dryRun(config, xl, { ...tree.environment, LD_PRELOAD: shim }) };
}

async function compileShim(compiler: string): Promise<string> {
  const source = join(projectRoot, 'test/lab/xl-dry-run/xl-shim.c');
  const digest = createHash('sha256').update(readFileSync(source)).digest('hex').slice(0, 12);
  const shim = join(testCache, `xl-shim-${digest}.so`);
  if (existsSync(shim)) return shim;
  const draft = `${shim}.${process.pid}`;
  await runTool(compiler, ['-shared', '-fPIC', '-O1', '-o', draft, source]);
  renameSync(draft, shim);
  return shim;
}

async function dryRun(config: string, xl: string, environment: Record<string, string>): Promise<DryRun> {
  const scratch = scratchFolder('xl');
  try {
    const file = join(scratch.path, 'guest.cfg');
    writeFileSync(file, config);
    const { code, out, err } = await new Promise<{ code: number; out: string; err: string }>((resolve) =>
      execFile(xl, ['-N', 'create', file], { env: environment, timeout: 30_000 }, (error, out, err) =>
        resolve({ code: error ? Number(error.code ?? 1) : 0, out, err }),
      ),
    );
    const text = out.slice(Math.max(0, out.indexOf('{')));
    return { code, config: code === 0 ? (JSON.parse(text) as unknown) : null, err };
  } finally {
    scratch.remove();
  }
}
