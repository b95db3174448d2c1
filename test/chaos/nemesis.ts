import { setTimeout as delay } from 'node:timers/promises';
import { readHistory } from '../../src/hypervisor-driver/fake/index.js';
import { type SeededRandom } from '../support/seeded-random.js';
import { type Arena, type ArenaHost } from './arena.js';
import { type HistoryWriter } from './history.js';
import { type Program } from './program.js';

export type Victim = 'api' | 'worker' | 'agent' | 'guest' | 'redis' | 'postgres' | 'flush';

/** How often each is hurt. PostgreSQL stops everything, so that it gets less of it. */
const weights: Readonly<Record<Victim, number>> = {
  api: 19,
  worker: 21,
  agent: 20,
  guest: 24,
  redis: 8,
  flush: 3,
  postgres: 5,
};

/** The hand on a guest behind its agent's back, where it is another one than the arena's. */
export interface Hand {
  /** Guests of a host that may be hurt. */
  living(host: ArenaHost): readonly string[];
  /** False: there is nothing to be killed any more. */
  kill(host: ArenaHost, domainId: string): boolean;
}

/** Those that there are. */
export const victimsOf = (queue: 'postgres' | 'redis'): readonly Victim[] =>
  (Object.keys(weights) as Victim[]).filter(
    (victim) => queue === 'redis' || (victim !== 'redis' && victim !== 'flush'),
  );

/** `kill -9` of one part after another, which is started again at once, by a schedule that the seed decides. */
export class Nemesis {
  readonly counts = new Map<Victim, number>();
  /** From the kill of a program until it was ready again. */
  readonly recoveryMs: number[] = [];
  private readonly restarts = new Set<Promise<void>>();
  private readonly down = new Set<Program>();
  private databaseAway: Promise<void> | undefined;
  /** Each is hurt once before chance alone decides, so that no run leaves one out. */
  private readonly first: Victim[];

  constructor(
    private readonly arena: Arena,
    private readonly history: HistoryWriter,
    private readonly random: SeededRandom,
    private readonly rolesOf: ReadonlyMap<string, string>,
    private readonly how: { weights?: Readonly<Record<Victim, number>>; hand?: Hand } = {},
  ) {
    this.first = random.shuffled(victimsOf(arena.redis ? 'redis' : 'postgres'));
  }

  get total(): number {
    return [...this.counts.values()].reduce((sum, count) => sum + count, 0);
  }

  /** One more. Waits only while there is nothing that could be killed. */
  async strike(): Promise<void> {
    for (;;) {
      const victim = this.first[0] ?? this.random.weighted(this.how.weights ?? weights);
      if (await this.hurt(victim)) {
        if (victim === this.first[0]) this.first.shift();
        this.counts.set(victim, (this.counts.get(victim) ?? 0) + 1);
        return;
      }
      await delay(20);
    }
  }

  /** Everything that was killed is back. */
  async calm(): Promise<void> {
    while (this.restarts.size > 0) await Promise.all(this.restarts);
    await this.databaseAway;
  }

  /** False when there is none of it to be hurt now. */
  private async hurt(victim: Victim): Promise<boolean> {
    switch (victim) {
      case 'api':
      case 'worker':
        return this.kill(
          victim,
          [...this.arena.servers.values()].filter(({ name }) =>
            this.rolesOf.get(name)?.split(',').includes(victim),
          ),
        );
      case 'agent':
        return this.kill(victim, [...this.arena.agents.values()]);
      case 'guest':
        return this.killGuest();
      case 'redis':
        if (!this.arena.redis) return false;
        this.fault(victim, 'redis');
        await this.arena.restartRedis();
        return true;
      case 'flush':
        if (!this.arena.redis) return false;
        this.fault(victim, 'redis');
        await this.arena.flushRedis();
        return true;
      case 'postgres': {
        if (this.databaseAway) return false;
        this.fault(victim, 'postgres');
        const began = performance.now();
        this.databaseAway = this.arena.restartPostgres().finally(() => {
          this.databaseAway = undefined;
          this.healed(victim, 'postgres', began);
        });
        await this.databaseAway;
        return true;
      }
    }
  }

  private kill(what: Victim, programs: readonly Program[]): boolean {
    const up = programs.filter((program) => !this.down.has(program));
    if (up.length === 0) return false;
    const program = this.random.of(up);
    this.fault(what, program.name);
    this.down.add(program);
    const began = performance.now();
    const back = this.bringBack(program).then(() => {
      this.healed(what, program.name, began);
      this.down.delete(program);
      this.restarts.delete(back);
    });
    this.restarts.add(back);
    return true;
  }

  /** A supervisor would do the same: what ends while it starts is started again. */
  private async bringBack(program: Program): Promise<void> {
    await program.kill();
    for (let repetition = 0; ; repetition += 1) {
      try {
        await program.start();
        return;
      } catch (error) {
        this.arena.misfortunes.push({
          at: new Date().toISOString(),
          program: program.name,
          how: String(error),
        });
        await program.kill();
        if (repetition >= 3) throw error;
      }
    }
  }

  private killGuest(): boolean {
    const host = this.random.of(this.arena.hosts);
    const { hand } = this.how;
    if (hand) {
      const living = hand.living(host);
      if (living.length === 0) return false;
      const domainId = this.random.of(living);
      this.fault('guest', domainId);
      return hand.kill(host, domainId);
    }
    const living = new Set<string>();
    for (const { effect, domainId } of readHistory(host.historyFile)) {
      if (effect === 'started') living.add(domainId);
      if (effect === 'ended' || effect === 'forgotten') living.delete(domainId);
    }
    if (living.size === 0) return false;
    const domainId = this.random.of([...living]);
    this.fault('guest', domainId);
    this.arena.behindBack(host, this.random.chance(0.8) ? 'crash' : 'halt', domainId);
    return true;
  }

  private fault(what: Victim, name: string): void {
    this.history.add({ kind: 'fault', at: Date.now(), what, name });
  }

  private healed(what: Victim, name: string, began: number): void {
    this.recoveryMs.push(performance.now() - began);
    this.history.add({ kind: 'healed', at: Date.now(), what, name });
  }
}
