import { spawn } from 'node:child_process';
import { access, constants, mkdir, readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { z } from 'zod';
import { replaceFile } from '../shared/write-file.js';

export interface AcceleratorDecision {
  readonly accelerator: 'kvm' | 'tcg';
  /** One sentence for the log and for people who wonder. */
  readonly reason: string;
}

export interface AcceleratorQuestion {
  /** `DOMUS_ACCEL`. Only `auto` is a question. */
  readonly wanted: 'auto' | 'kvm' | 'tcg';
  readonly binary: string;
  readonly qemuVersion: string;
  /** A kernel to boot, as the boot kit has it; null when there is none at hand. */
  readonly kernel: {
    readonly kernelPath: string;
    readonly initramfsPath: string;
    readonly kernelVersion: string;
    readonly commandLine: string;
  } | null;
  /** The answer is kept here, for this boot, kernel and QEMU. */
  readonly cacheFile: string;
  readonly bootId: string;
  readonly kvmDevice?: string;
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

const FIRST_LINE_OF_INIT = 'GUEST-READY';
const PROBE_TIMEOUT_MS = 10_000;
const OUTPUT_LIMIT = 1 << 20;

const cached = z.object({ key: z.string(), accelerator: z.enum(['kvm', 'tcg']), reason: z.string() });

/**
 * Whether guests can run under KVM here. That /dev/kvm opens says nothing, nor that QEMU calls it enabled, nor that
 * firmware runs: only a kernel that reached its first line of init counts. Takes up to 10 s, once per boot, kernel and
 * QEMU. Never rejects for what KVM does; only for the signal.
 */
export async function decideAccelerator(question: AcceleratorQuestion): Promise<AcceleratorDecision> {
  const { wanted, kernel, cacheFile, kvmDevice = '/dev/kvm' } = question;
  if (wanted !== 'auto') return { accelerator: wanted, reason: `${wanted.toUpperCase()} was asked for.` };
  const opens = await access(kvmDevice, constants.R_OK | constants.W_OK).then(
    () => true,
    () => false,
  );
  if (!opens) return { accelerator: 'tcg', reason: `${kvmDevice} cannot be opened.` };
  if (!kernel) return { accelerator: 'tcg', reason: 'There is no kernel at hand to try KVM with.' };
  const key = [question.bootId, kernel.kernelVersion, question.qemuVersion, question.binary].join(' ');
  const known = await readCache(cacheFile, key);
  if (known) return known;
  const failure = await bootUnderKvm(question, kernel);
  question.signal?.throwIfAborted();
  const decision: AcceleratorDecision =
    failure === null
      ? { accelerator: 'kvm', reason: `Linux ${kernel.kernelVersion} booted under KVM.` }
      : { accelerator: 'tcg', reason: `KVM opens, but boots no kernel: ${failure}` };
  await mkdir(dirname(cacheFile), { recursive: true, mode: 0o700 });
  await replaceFile(cacheFile, JSON.stringify({ key, ...decision }));
  return decision;
}

async function readCache(path: string, key: string): Promise<AcceleratorDecision | null> {
  const text = await readFile(path, 'utf8').catch(() => '');
  try {
    const { key: of, accelerator, reason } = cached.parse(JSON.parse(text));
    return of === key ? { accelerator, reason } : null;
  } catch {
    return null; // no answer yet, or an unreadable one: ask again
  }
}

/** Null when the guest's init spoke; otherwise why it did not, in words. */
function bootUnderKvm(
  { binary, timeoutMs = PROBE_TIMEOUT_MS, signal }: AcceleratorQuestion,
  kernel: NonNullable<AcceleratorQuestion['kernel']>,
): Promise<string | null> {
  const args = [
    ...['-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot'],
    ...['-accel', 'kvm', '-cpu', 'host', '-m', '256'],
    ...['-machine', process.arch === 'arm64' ? 'virt' : 'q35'],
    ...['-kernel', kernel.kernelPath, '-initrd', kernel.initramfsPath],
    ...['-append', `${kernel.commandLine} quiet panic=-1`],
    ...['-serial', 'stdio'],
  ];
  return new Promise((resolve) => {
    const qemu = spawn(binary, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    let complaint = '';
    let verdict: string | null = `it printed nothing of its own within ${timeoutMs / 1000} s.`;
    const end = () => qemu.kill('SIGKILL');
    const timer = setTimeout(end, timeoutMs);
    signal?.addEventListener('abort', end, { once: true });
    qemu.stdout.on('data', (bytes: Buffer) => {
      output = (output + bytes.toString('latin1')).slice(-OUTPUT_LIMIT);
      if (!output.includes(FIRST_LINE_OF_INIT)) return;
      verdict = null;
      end();
    });
    qemu.stderr.on('data', (bytes: Buffer) => {
      complaint = (complaint + bytes.toString('utf8')).slice(-2000);
    });
    const finish = (how: string | null) => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', end);
      resolve(how);
    };
    qemu.once('error', (error) => finish(error.message));
    qemu.once('close', (code) => {
      const said = complaint.trim().split('\n').at(-1);
      finish(verdict !== null && code !== null && said ? said : verdict);
    });
  });
}
