import { type SeededRandom } from '../support/seeded-random.js';
import { type Heard } from './subscriber.js';

/** What a client is about to ask. */
export interface Choice {
  readonly method: 'POST' | 'PATCH' | 'DELETE';
  readonly path: string;
  readonly verb: string;
  readonly target: { readonly type: 'domain' | 'volume' | 'operation'; readonly id: string };
  readonly body: unknown;
  readonly headers: Readonly<Record<string, string>>;
}

interface Thing {
  readonly type: 'domain' | 'volume';
  /** `absent` until it was created and after it was deleted; otherwise the last state that an event named. */
  state: string;
  id: string;
  /** Clients that have something under way with it. */
  busy: number;
  revision: number;
  /** Volumes: where; domains: the volumes that are theirs. */
  repositoryId: string;
  number: number;
}

const MEBIBYTE = 1 << 20;
/** A simulated host offers 252 GiB. */
const LARGE_BYTES = 200 * 1_024 * MEBIBYTE;

/** How often which verb is asked for in which state. What cannot be is asked for too, now and then. */
const verbs: Readonly<Record<string, Readonly<Record<string, number>>>> = {
  absent: { create: 1 },
  halted: { start: 66, delete: 12, rename: 8, pause: 2, force_off: 2 },
  crashed: { start: 70, delete: 10, rename: 5, resume: 2 },
  running: { pause: 20, shutdown: 24, reboot: 14, force_off: 20, reset: 6, rename: 6, start: 3, delete: 2 },
  paused: { resume: 55, force_off: 35, rename: 4, shutdown: 3 },
  unknown: { force_off: 30, rename: 5, start: 5 },
  ready: { delete: 10 },
};

/** What the clients know of the pool, by what they were told. */
export class World {
  readonly things: Thing[];
  private readonly byId = new Map<string, Thing>();

  constructor(
    readonly poolId: string,
    readonly repositoryIds: readonly string[],
    counts: { readonly domains: number; readonly volumes: number },
    /** What every third domain is given: nearly all that a host offers, so that there is never room for all of them. */
    readonly largeBytes = LARGE_BYTES,
  ) {
    const make = (type: Thing['type'], number: number): Thing => ({
      type,
      state: 'absent',
      id: '',
      busy: 0,
      revision: 1,
      repositoryId: repositoryIds[number % repositoryIds.length] ?? '',
      number,
    });
    this.things = [
      ...Array.from({ length: counts.domains }, (_, at) => make('domain', at)),
      ...Array.from({ length: repositoryIds.length > 0 ? counts.volumes : 0 }, (_, at) => make('volume', at)),
    ];
  }

  hear({ type, objectId, changes }: Heard): void {
    const thing = this.byId.get(objectId);
    if (!thing) return;
    if (type === `${thing.type}.deleted`) this.forget(thing);
    if (type === 'domain.created') thing.state = 'halted';
    if (typeof changes['state'] === 'string') thing.state = changes['state'];
    if (typeof changes['revision'] === 'number') thing.revision = changes['revision'];
  }

  take(thing: Thing, id: string): void {
    thing.busy += 1;
    if (thing.id === id) return;
    thing.id = id;
    thing.revision = 1;
    this.byId.set(id, thing);
  }

  answered(choice: Choice, status: number): void {
    const thing = this.byId.get(choice.target.id);
    if (!thing) return;
    // A rename that was stale: the next one tries the next revision.
    if (choice.verb === 'rename' && (status === 200 || status === 412)) thing.revision += 1;
    if (choice.verb === 'create' && status >= 400 && status !== 409) this.forget(thing);
    // It is there: the answer to the first request was lost, and this one came too late for it.
    if (choice.verb === 'create' && status === 409 && thing.state === 'absent') thing.state = 'halted';
    if (status === 404 && choice.verb !== 'create') this.forget(thing);
    if (status !== 202) this.free(choice);
  }

  free(choice: Choice): void {
    const thing = this.byId.get(choice.target.id);
    if (thing && thing.busy > 0) thing.busy -= 1;
  }

  private forget(thing: Thing): void {
    this.byId.delete(thing.id);
    Object.assign(thing, { id: '', state: 'absent', busy: 0 });
  }
}

/** Something for one of the things, by what is known of its state. Undefined when all have something under way. */
export function choose(world: World, random: SeededRandom): Choice | undefined {
  const free = world.things.filter(({ busy }) => busy === 0);
  // Now and then two at once: they must not get into each other's way.
  const thing = random.chance(0.06) ? random.of(world.things) : free.length > 0 ? random.of(free) : undefined;
  if (!thing || (thing.state === 'absent' && thing.busy > 0)) return undefined;
  const verb = random.weighted(verbs[thing.state] ?? { delete: 1 });
  const id = thing.state === 'absent' ? random.uuid() : thing.id;
  const target = { type: thing.type, id };
  const path = `/v1/${thing.type}s`;
  const wait = random.chance(0.15) ? '?onBusy=wait' : '';
  world.take(thing, id);
  const headers = {};
  switch (verb) {
    case 'create':
      return { method: 'POST', path, verb, target, body: describe(world, thing, id, random), headers };
    case 'delete':
      return { method: 'DELETE', path: `${path}/${id}${wait}`, verb, target, body: undefined, headers };
    case 'rename': {
      const body = { name: `${thing.type}-${thing.number}-${random.below(1_000_000)}` };
      const stale = { 'if-match': `"${thing.revision}"` };
      return { method: 'PATCH', path: `${path}/${id}`, verb, target, body, headers: stale };
    }
    default: {
      const body = verb === 'shutdown' || verb === 'reboot' ? { deadlineSeconds: 5 } : undefined;
      const name = verb.replace('_', '-');
      return { method: 'POST', path: `${path}/${id}/${name}${wait}`, verb, target, body, headers };
    }
  }
}

function describe(world: World, thing: Thing, id: string, random: SeededRandom): unknown {
  const name = `${thing.type}-${thing.number}-${random.below(1_000_000)}`;
  if (thing.type === 'volume')
    return { id, name, repositoryId: thing.repositoryId, sizeBytes: (1 + random.below(64)) * MEBIBYTE };
  const disks = world.things
    .filter((one) => one.type === 'volume' && one.state === 'ready' && one.busy === 0)
    .slice(0, random.chance(0.3) ? 1 : 0)
    .map((one) => ({ volumeId: one.id }));
  const boot = { firmware: 'bios', order: ['network'] };
  const memoryBytes = random.chance(0.3) ? world.largeBytes : 16 * MEBIBYTE;
  return { id, name, poolId: world.poolId, memoryBytes, boot, disks };
}
