import { randomUUID } from 'node:crypto';
import { type Arena } from '../arena.js';
import { type Stage } from './stage.js';
import { pressed, unknowable, withAWord } from './pressed-once.js';
import { cancel, type Meanwhile, whileItStands } from './standing.js';

/** How a thing must be afterwards. `effects`: on the guest, during this part, and how often each happened. */
export interface Expected {
  /** The domain's state and its guest's; absent where no domain is concerned. `gone`: deleted. */
  readonly domain?: 'halted' | 'running' | 'paused' | 'gone';
  readonly volume?: 'ready' | 'gone';
  readonly row?: { readonly table: 'storage_repository' | 'network'; readonly there: boolean };
  /** Exactly so often; as [least, most] where it depends. What is not named must not happen. */
  readonly effects?: Readonly<Record<string, number | readonly [number, number]>>;
  /** Anything more; what is not true. */
  readonly more?: (arena: Arena, targetId: string) => Promise<string[]>;
  /** What the operations of the way's kind may have come to; with `outcomes` the first one when nothing was hurt. Default: succeeded. */
  readonly states?: readonly string[];
  /** What is different where it came to that. */
  readonly outcomes?: Readonly<Record<string, Omit<Expected, 'states' | 'outcomes'>>>;
  /** What is left of it by right, in the judge's words. */
  readonly leaves?: readonly string[];
}

/** One road that an operation can take from its request to its end. The name says its kind first. */
export interface Way {
  readonly name: string;
  /** Points are swept where operations of this kind pass them. */
  readonly kind: string;
  /** Brings the object into being; its id. Not looked at. */
  prepare(stage: Stage): Promise<string>;
  /** Resolves when what was asked for is acknowledged. Calls `arm` once: from there on points count. */
  ask(stage: Stage, targetId: string, arm: () => void): Promise<void>;
  readonly expected: Expected;
  /** So long after the others it may still come to its point. Default: 2.5 s. */
  readonly stillMs?: number;
  /** So long after everything is back the truth may take. Default: a minute. */
  readonly calmMs?: number;
  /** Afterwards, where something was lent from the stage. */
  restore?(stage: Stage, targetId: string): Promise<void>;
}

const verb =
  (name: string, body?: unknown) =>
  async (stage: Stage, id: string, arm: () => void): Promise<void> => {
    arm();
    await stage.acknowledged('POST', `/v1/domains/${id}/${name}`, body);
  };
const remove =
  (collection: string, noun: string) =>
  async (stage: Stage, id: string, arm: () => void): Promise<void> => {
    arm();
    await stage.acknowledged('DELETE', `/v1/${collection}/${id}`, undefined, [
      `${noun}.not_found`,
      'object.busy',
    ]);
  };
const running = (stage: Stage): Promise<string> => stage.running();
const halted = (stage: Stage): Promise<string> => stage.domain();
const newId = (): Promise<string> => Promise.resolve(randomUUID());
const forced = { deadlineSeconds: 1, force: true };

/** An operation whose step stands in the agent, and what somebody else does meanwhile. */
const during = (
  { kind, step, verb: name, body }: { kind: string; step: string; verb: string; body?: object },
  meanwhile: Meanwhile,
): Way['ask'] =>
  whileItStands(
    (stage, id) => stage.acknowledged('POST', `/v1/domains/${id}/${name}`, body),
    { kind, role: 'agent', point: `agent.after-begin:${step}` },
    meanwhile,
  );
const start = { kind: 'domain.start', step: 'start-guest', verb: 'start' };
const shutdown = { kind: 'domain.shutdown', step: 'ask-guest', verb: 'shutdown' };
const forcedReboot = { kind: 'domain.reboot', step: 'force-off-guest', verb: 'reboot', body: forced };
const pause = { kind: 'domain.pause', step: 'pause-guest', verb: 'pause' };

/** As if its time were over with its step in the agent's hands: the host is asked what came of it. */
const doubt =
  (kind: string): Meanwhile =>
  async (stage, id, arm) => {
    arm();
    await stage.arena.rows(
      `update operation set state = 'needs_attention', attempt = attempt + 1, lease_owner = null, lease_until = null,
         attend_at = now(), error = '{"code": "host.unreachable"}' where id = $1`,
      [await stage.newest(kind, id)],
    );
  };

export const objectWays: readonly Way[] = [
  {
    name: 'domain.create',
    kind: 'domain.create',
    prepare: newId,
    ask: async (stage, id, arm) => {
      arm();
      await stage.acknowledged('POST', '/v1/domains', stage.domainInput(id));
    },
    expected: { domain: 'halted' },
  },
  {
    name: 'domain.start',
    kind: 'domain.start',
    prepare: halted,
    ask: verb('start'),
    expected: { domain: 'running', effects: { started: 1 } },
  },
  {
    name: 'domain.start+cancelled',
    kind: 'domain.start',
    prepare: halted,
    ask: during(start, cancel('domain.start')),
    expected: { domain: 'halted', effects: { started: [0, 1], ended: [0, 1] }, states: ['cancelled'] },
  },
  {
    name: 'domain.start+refused',
    kind: 'domain.start',
    prepare: halted,
    ask: async (stage, id, arm) => {
      arm();
      stage.lay(id, 'domain.start', 'agent', 'agent.after-begin:start-guest', 'fail');
      await stage.acknowledged('POST', `/v1/domains/${id}/start`);
    },
    // Whoever takes over does it once more, and then nothing fails.
    expected: { effects: { started: [0, 1], ended: [0, 1] }, states: ['failed', 'succeeded'] },
  },
  {
    name: 'domain.pause',
    kind: 'domain.pause',
    prepare: running,
    ask: verb('pause'),
    expected: { domain: 'paused', effects: { paused: 1 } },
  },
  {
    name: 'domain.pause+doubted',
    kind: 'domain.pause',
    prepare: running,
    ask: during(pause, doubt('domain.pause')),
    // Whoever was asked for it before the doubt is late: it happened before the host was asked, or never does.
    expected: { effects: { paused: [0, 1], resumed: [0, 1] }, states: ['succeeded', 'failed'] },
  },
  {
    name: 'domain.pause+waiting',
    kind: 'domain.pause',
    prepare: halted,
    ask: during(start, verb('pause?onBusy=wait')),
    expected: { domain: 'paused', effects: { started: 1, paused: 1 } },
  },
  {
    name: 'domain.resume',
    kind: 'domain.resume',
    prepare: async (stage) => {
      const id = await stage.running();
      await stage.done('POST', `/v1/domains/${id}/pause`);
      return id;
    },
    ask: verb('resume'),
    expected: { domain: 'running', effects: { resumed: 1 } },
  },
  {
    name: 'domain.reset',
    kind: 'domain.reset',
    prepare: running,
    ask: withAWord(verb('reset')),
    expected: { states: ['succeeded', 'failed'], outcomes: { succeeded: pressed, failed: unknowable } },
  },
  {
    name: 'domain.shutdown',
    kind: 'domain.shutdown',
    prepare: running,
    ask: verb('shutdown', { deadlineSeconds: 60 }),
    // Asking twice is asking.
    expected: { domain: 'halted', effects: { asked: [1, 2], ended: 1 } },
  },
  {
    name: 'domain.shutdown+forced',
    kind: 'domain.shutdown',
    prepare: (stage) => stage.running({ stubborn: true }),
    ask: verb('shutdown', forced),
    expected: { domain: 'halted', effects: { asked: [1, 2], ended: 1 } },
  },
  {
    name: 'domain.shutdown+cancelled',
    kind: 'domain.shutdown',
    prepare: (stage) => stage.running({ stubborn: true }),
    ask: during(shutdown, cancel('domain.shutdown')),
    expected: { domain: 'running', effects: { asked: [0, 1] }, states: ['cancelled'] },
  },
  {
    name: 'domain.force_off',
    kind: 'domain.force_off',
    prepare: running,
    ask: verb('force-off'),
    expected: { domain: 'halted', effects: { ended: 1 } },
  },
  {
    name: 'domain.force_off+overtaking',
    kind: 'domain.force_off',
    prepare: halted,
    ask: during(start, verb('force-off')),
    expected: { domain: 'halted', effects: { started: [0, 1], ended: [0, 1] } },
  },
  {
    name: 'domain.reboot',
    kind: 'domain.reboot',
    prepare: running,
    ask: verb('reboot', { deadlineSeconds: 60 }),
    expected: { domain: 'running', effects: { asked: [1, 2], ended: 1, started: 1 } },
  },
  {
    name: 'domain.reboot+forced',
    kind: 'domain.reboot',
    prepare: (stage) => stage.running({ stubborn: true }),
    ask: verb('reboot', forced),
    expected: { domain: 'running', effects: { asked: [1, 2], ended: 1, started: 1 } },
  },
  {
    name: 'domain.reboot+cancelled',
    kind: 'domain.reboot',
    prepare: (stage) => stage.running({ stubborn: true }),
    ask: during(forcedReboot, cancel('domain.reboot')),
    // Asked before; ended only if that was under way when it was cancelled.
    expected: { effects: { asked: 1, ended: [0, 1] }, states: ['cancelled'] },
  },
  {
    name: 'domain.delete',
    kind: 'domain.delete',
    prepare: async (stage) => {
      const id = await stage.running();
      await stage.done('POST', `/v1/domains/${id}/force-off`);
      return id;
    },
    ask: remove('domains', 'domain'),
    expected: { domain: 'gone', effects: { forgotten: 1 } },
  },
  {
    name: 'volume.create',
    kind: 'volume.create',
    prepare: newId,
    ask: async (stage, id, arm) => {
      arm();
      const body = { id, name: stage.name('volume'), repositoryId: stage.repositoryId, sizeBytes: 1 << 20 };
      await stage.acknowledged('POST', '/v1/volumes', body);
    },
    expected: { volume: 'ready' },
  },
  {
    name: 'volume.delete',
    kind: 'volume.delete',
    prepare: async (stage) => {
      const id = randomUUID();
      const body = { id, name: stage.name('volume'), repositoryId: stage.repositoryId, sizeBytes: 1 << 20 };
      await stage.done('POST', '/v1/volumes', body);
      return id;
    },
    ask: remove('volumes', 'volume'),
    expected: { volume: 'gone' },
  },
  {
    name: 'storage_repository.create',
    kind: 'storage_repository.create',
    prepare: newId,
    ask: async (stage, id, arm) => {
      arm();
      const [host] = stage.arena.hosts;
      await stage.acknowledged('POST', '/v1/storage-repositories', stage.repositoryInput(id, host?.id ?? ''));
    },
    expected: { row: { table: 'storage_repository', there: true } },
  },
  {
    name: 'storage_repository.delete',
    kind: 'storage_repository.delete',
    prepare: async (stage) => {
      const id = randomUUID();
      const [host] = stage.arena.hosts;
      await stage.done('POST', '/v1/storage-repositories', stage.repositoryInput(id, host?.id ?? ''));
      return id;
    },
    ask: remove('storage-repositories', 'storage_repository'),
    expected: { row: { table: 'storage_repository', there: false } },
  },
  {
    name: 'network.create',
    kind: 'network.create',
    prepare: newId,
    ask: async (stage, id, arm) => {
      arm();
      const body = { id, name: stage.name('network'), poolId: stage.arena.poolId };
      await stage.acknowledged('POST', '/v1/networks', body);
    },
    expected: { row: { table: 'network', there: true } },
  },
  {
    name: 'network.delete',
    kind: 'network.delete',
    prepare: async (stage) => {
      const id = randomUUID();
      await stage.done('POST', '/v1/networks', {
        id,
        name: stage.name('network'),
        poolId: stage.arena.poolId,
      });
      return id;
    },
    ask: remove('networks', 'network'),
    expected: { row: { table: 'network', there: false } },
  },
];
