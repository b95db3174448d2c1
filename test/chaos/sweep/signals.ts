import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { projectRoot } from '../../../src/launcher/project-root.js';

export type Role = 'server' | 'worker' | 'relay' | 'agent';
/** `flush`: Redis forgets all while it stands there. `hold` and `fail` belong to a way: the operation stands there, or the point throws. */
export type Act = 'kill' | 'pause' | 'drop' | 'duplicate' | 'flush' | 'hold' | 'fail';

/** What is to happen when an operation of this kind on this object comes by this point, the first time. */
export interface Plan {
  readonly id: string;
  readonly targetId: string;
  readonly kind: string;
  readonly role: Role;
  /** With the step where there is one: `step.after-intent:start-guest`. */
  readonly point: string;
  readonly act: Act;
}

export interface Hit {
  readonly program: string;
  readonly pid: number;
}

/** One operation that came by one point. */
export interface Crossing {
  readonly at: number;
  readonly kind: string;
  readonly targetId: string;
  readonly role: Role;
  readonly point: string;
  readonly program: string;
}

/** The sweep's end of what it says to the programs under test, and they to it (`hook.mjs`). */
export class Signals {
  constructor(private readonly folder: string) {
    for (const name of ['plans', 'taken', 'hits', 'released', 'operations', 'passings'])
      mkdirSync(join(folder, name), { recursive: true, mode: 0o700 });
  }

  /** For every server and agent. */
  get environment(): Record<string, string> {
    const hook = join(projectRoot, 'test/chaos/sweep/hook.mjs');
    return { NODE_OPTIONS: `--import=file://${hook}`, DOMUS_SWEEP_FOLDER: this.folder };
  }

  plan(plan: Plan): void {
    const folder = join(this.folder, 'plans', plan.targetId);
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const draft = join(this.folder, `${plan.id}.draft`);
    writeFileSync(draft, JSON.stringify(plan));
    // By a rename: nobody reads half of it.
    renameSync(draft, join(folder, plan.id));
  }

  hit(planId: string): Hit | undefined {
    const file = join(this.folder, 'hits', `${planId}.json`);
    return existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as Hit) : undefined;
  }

  /** What stands at the point goes on; what was not hit yet will not stand there for long. */
  release(planId: string): void {
    writeFileSync(join(this.folder, 'released', planId), '');
  }

  crossings(): Crossing[] {
    const folder = join(this.folder, 'passings');
    return readdirSync(folder)
      .flatMap((name) => readFileSync(join(folder, name), 'utf8').split('\n'))
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as Crossing)
      .sort((a, b) => a.at - b.at);
  }
}
