import { appendFileSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync } from 'node:fs';
import { createConnection, type Socket } from 'node:net';
import { delimiter, join } from 'node:path';
import { createInterface } from 'node:readline';
import { type HistoryLine } from '../../../src/hypervisor-driver/fake/index.js';
import { qemuBinaryName } from '../../../src/hypervisor-driver/qemu/settings.js';
import { projectRoot } from '../../../src/launcher/project-root.js';
import { findProgram } from '../../../src/launcher/qemu-packages.js';
import { type Arena, type ArenaHost } from '../arena.js';
import { type Violation } from '../history-checker.js';

type Effect = HistoryLine['effect'];

/** One QEMU of a domain, from its first breath. */
interface Run {
  readonly domainId: string;
  readonly pid: number;
  readonly host: ArenaHost;
  readonly memoryBytes: number;
  readonly begunAt: number;
  /** Null until its CPUs were let go: before that it is no guest. */
  generation: number | null;
  paused: boolean;
  over: boolean;
  /** When somebody killed it behind its agent's back. */
  killedAt: number | null;
  socket: Socket | undefined;
}

interface QmpEvent {
  readonly event: string;
  readonly timestamp: { readonly seconds: number; readonly microseconds: number };
  readonly data?: { readonly guest?: boolean; readonly reason?: string };
}

const LOOK_EVERY_MS = 20;

/**
 * Writes down what really happens to real guests, as the played hosts do of theirs and in the same form, so that one judge judges both.
 * It learns it from each QEMU's second monitor, and knows nothing of what agents say.
 */
export class GuestObserver {
  readonly violations: Violation[] = [];
  private readonly runs = new Map<number, Run>();
  private readonly seen = new Set<string>();
  private readonly sequences = new Map<string, number>();
  private arena: Arena | undefined;
  private timer: NodeJS.Timeout | undefined;

  /** `folder`: short, since sockets lie in it. */
  constructor(private readonly folder: string) {
    mkdirSync(join(folder, 'bin'));
    const name = qemuBinaryName();
    symlinkSync(join(projectRoot, 'test/chaos/real-guests/traced-qemu.sh'), join(folder, 'bin', name));
  }

  /** For every agent. */
  get environment(): Record<string, string> {
    const path = process.env['PATH'] ?? '';
    return {
      PATH: [join(this.folder, 'bin'), path].join(delimiter),
      DOMUS_TRACED_QEMU: findProgram(qemuBinaryName(), path) ?? '',
      DOMUS_TRACE_FOLDER: this.folder,
    };
  }

  watch(arena: Arena): void {
    this.arena = arena;
    this.timer = setInterval(() => this.look(), LOOK_EVERY_MS);
  }

  close(): void {
    clearInterval(this.timer);
    for (const { socket } of this.runs.values()) socket?.destroy();
  }

  /** Guests that live now on this host. */
  living(host: ArenaHost): string[] {
    return [...this.runs.values()]
      .filter((run) => run.host === host && run.generation !== null && !run.over)
      .map(({ domainId }) => domainId);
  }

  /** Kills its QEMU. False: it has just ended. */
  kill(host: ArenaHost, domainId: string): boolean {
    const run = [...this.runs.values()].find((one) => one.domainId === domainId && !one.over);
    if (!run) return false;
    run.killedAt = Date.now();
    this.arena?.acts.push({ at: run.killedAt, hostId: host.id, domainId, act: 'crash' });
    try {
      process.kill(run.pid, 'SIGKILL');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
    return true;
  }

  private look(): void {
    for (const name of readdirSync(this.folder)) {
      if (!name.endsWith('.begun') || this.seen.has(name)) continue;
      const lines = readFileSync(join(this.folder, name), 'utf8').split('\n');
      if (lines.at(-2) !== 'whole') continue;
      this.seen.add(name);
      this.begun(name, lines);
    }
    for (const run of this.runs.values()) if (!run.socket) this.connect(run);
  }

  private begun(name: string, [first = '', ...words]: readonly string[]): void {
    const [domainId = '', pid = ''] = name.split('.');
    const host = this.arena?.hosts.find(({ agent }) =>
      words.some((word) => word.includes(`/${agent}/agent/`)),
    );
    if (!host) throw new Error(`Nobody knows whose QEMU this is: ${words.join(' ')}`);
    const living = first.split(' ').slice(1);
    if (living.length > 0)
      this.violations.push({
        invariant: 'I1 one host',
        what: `a QEMU of domain ${domainId} was begun on ${host.name} while another one lived`,
        evidence: [{ domainId, pid, living }],
      });
    const size = words.find((word) => word.startsWith('size='))?.match(/\d+/)?.[0];
    this.runs.set(Number(pid), {
      ...{ domainId, pid: Number(pid), host, memoryBytes: Number(size ?? 0) },
      begunAt: Math.ceil(statSync(join(this.folder, name)).mtimeMs),
      ...{ generation: null, paused: false, over: false, killedAt: null, socket: undefined },
    });
  }

  /** Until it listens, or has ended. */
  private connect(run: Run): void {
    const socket = createConnection(join(this.folder, `${run.pid}.qmp`));
    run.socket = socket;
    let heard = false;
    socket.on('connect', () => {
      heard = true;
      for (const execute of ['qmp_capabilities', 'query-status'])
        socket.write(`${JSON.stringify({ execute })}\n`);
      createInterface({ input: socket }).on('line', (line) => {
        const said = JSON.parse(line) as Partial<QmpEvent> & { return?: { status?: string } };
        if (said.event !== undefined) this.hear(run, said as QmpEvent);
        else if (said.return?.status !== undefined) this.find(run, said.return.status);
      });
    });
    socket.on('error', () => undefined);
    socket.on('close', () => {
      if (heard) {
        this.gone(run, Date.now());
        this.runs.delete(run.pid);
      } else if (lives(run.pid)) run.socket = undefined;
      else this.runs.delete(run.pid);
    });
  }

  /** Its CPUs may have been let go before anybody listened here: when, nobody has seen, but not before it was begun. */
  private find(run: Run, status: string): void {
    if (run.generation === null && (status === 'running' || status === 'paused'))
      this.started(run, run.begunAt);
  }

  private hear(run: Run, { event, timestamp, data }: QmpEvent): void {
    const at = timestamp.seconds * 1_000 + Math.floor(timestamp.microseconds / 1_000);
    if (run.over) return;
    switch (event) {
      case 'RESUME': {
        const { paused } = run;
        run.paused = false;
        if (run.generation === null) this.started(run, at);
        else if (paused) this.note(run, 'resumed', at, 'agent');
        return;
      }
      case 'STOP':
        if (run.generation === null) return;
        run.paused = true;
        return this.note(run, 'paused', at, 'agent');
      case 'POWERDOWN':
        return this.note(run, 'asked', at, 'agent');
      case 'RESET':
        // A guest's own reset, as firmware does once more after the button, is its own affair.
        return data?.guest === true ? undefined : this.note(run, 'reset', at, 'agent');
      case 'SHUTDOWN':
        return this.ended(run, at, data?.guest === true ? 'guest' : 'agent');
    }
  }

  /** Whatever ran before of the domain had ended: QEMU itself has looked (`living`). */
  private started(run: Run, at: number): void {
    for (const earlier of this.runs.values())
      if (earlier.domainId === run.domainId && earlier !== run && !lives(earlier.pid))
        this.gone(earlier, at - 1);
    const file = join(this.arena?.folder ?? '', run.host.agent, 'agent/domains', run.domainId, 'spec.json');
    const { domain } = JSON.parse(readFileSync(file, 'utf8')) as { domain: { generation: number } };
    run.generation = domain.generation;
    this.note(run, 'started', at, 'agent');
  }

  /** Its process is no more, as somebody saw at this time. */
  private gone(run: Run, at: number): void {
    if (run.killedAt === null) this.ended(run, at, 'agent');
    else this.ended(run, run.killedAt, 'outside');
  }

  private ended(run: Run, at: number, by: HistoryLine['by']): void {
    if (run.over) return;
    run.over = true;
    if (run.generation !== null) this.note(run, 'ended', at, by);
  }

  private note(
    { domainId, host, generation, ...run }: Run,
    effect: Effect,
    at: number,
    by: HistoryLine['by'],
  ) {
    const sequence = (this.sequences.get(host.id) ?? 0) + 1;
    this.sequences.set(host.id, sequence);
    const time = new Date(at).toISOString();
    const line = {
      ...{ effect, domainId, generation: generation ?? 0, at: time, by, sequence },
      guest: run.over
        ? null
        : {
            domain: { id: domainId, generation, memoryBytes: run.memoryBytes },
            state: run.paused ? 'paused' : 'running',
            // An agent says when it saw it, and this when it happened: the two are compared nowhere.
            since: null,
          },
    };
    appendFileSync(host.historyFile, `${JSON.stringify(line)}\n`);
  }
}

function lives(pid: number): boolean {
  try {
    return !readFileSync(`/proc/${pid}/stat`, 'utf8').includes(') Z ');
  } catch {
    return false;
  }
}
