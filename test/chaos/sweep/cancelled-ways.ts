import { randomUUID } from 'node:crypto';
import { type Arena } from '../arena.js';
import { volumeFilesOf } from './judge.js';
import { pressed, unknowable, withAWord } from './pressed-once.js';
import { type Stage } from './stage.js';
import { cancel, cancelInVain, type Place, whileItStands } from './standing.js';
import { type Expected, type Way } from './ways.js';

type Request = (stage: Stage, id: string) => Promise<unknown>;

const verb =
  (name: string, body?: unknown): Request =>
  (stage, id) =>
    stage.acknowledged('POST', `/v1/domains/${id}/${name}`, body);
const remove =
  (collection: string): Request =>
  (stage, id) =>
    stage.acknowledged('DELETE', `/v1/${collection}/${id}`);
const running = (stage: Stage): Promise<string> => stage.running();
const stubborn = (stage: Stage): Promise<string> => stage.running({ stubborn: true });
const paused = async (stage: Stage): Promise<string> => {
  const id = await stage.running();
  await stage.done('POST', `/v1/domains/${id}/pause`);
  return id;
};
const ranOnce = async (stage: Stage): Promise<string> => {
  const id = await stage.running();
  await stage.done('POST', `/v1/domains/${id}/force-off`);
  return id;
};
const volumeInput = (stage: Stage, id: string) => ({
  id,
  name: stage.name('volume'),
  repositoryId: stage.repositoryId,
  sizeBytes: 1 << 20,
});
const volume = async (stage: Stage): Promise<string> => {
  const id = randomUUID();
  await stage.done('POST', '/v1/volumes', volumeInput(stage, id));
  return id;
};
const repositoryInput = (stage: Stage, id: string) =>
  stage.repositoryInput(id, stage.arena.hosts[0]?.id ?? '');
const repository = async (stage: Stage): Promise<string> => {
  const id = randomUUID();
  await stage.done('POST', '/v1/storage-repositories', repositoryInput(stage, id));
  return id;
};

const rowIs =
  (table: 'storage_repository', wanted: string) =>
  async (arena: Arena, id: string): Promise<string[]> => {
    const [row] = await arena.rows<{ state: string }>(`select state from ${table} where id = $1`, [id]);
    return row?.state === wanted ? [] : [`its row is ${row?.state ?? 'gone'}`];
  };
/** A volume that has its bytes is ready; one without can only be deleted again. */
const trueOfItsBytes = async (arena: Arena, id: string): Promise<string[]> => {
  const [row] = await arena.rows<{ state: string }>('select state from volume where id = $1', [id]);
  const wanted = volumeFilesOf(arena).includes(id) ? 'ready' : 'deleting';
  return row?.state === wanted ? [] : [`its row is ${row?.state ?? 'gone'}, its bytes say ${wanted}`];
};

/** An operation that is taken back where it stands; its name says where. What was done is undone, or else it never was cancelled. */
function cancelled(
  name: string,
  how: {
    prepare: Way['prepare'];
    request: Request;
    at: Omit<Place, 'kind'>;
    expected: Omit<Expected, 'states'>;
    /** Where others were quicker than the cancel, because what it stood in was killed. */
    unlessDone: Omit<Expected, 'states'>;
  },
): Way {
  const kind = name.split('+')[0] ?? '';
  return {
    name,
    kind,
    prepare: how.prepare,
    ask: whileItStands(how.request, { kind, ...how.at }, cancel(kind)),
    expected: {
      states: ['cancelled', 'succeeded'],
      outcomes: { cancelled: how.expected, succeeded: how.unlessDone },
    },
  };
}

/** One that is past its point of no return: the cancel is refused, and it goes on as if nobody had asked. */
function inVain(
  name: string,
  how: { prepare: Way['prepare']; request: Request; at: Omit<Place, 'kind'>; expected: Expected },
): Way {
  const kind = name.split('+')[0] ?? '';
  return {
    name,
    kind,
    prepare: how.prepare,
    ask: whileItStands(how.request, { kind, ...how.at }, cancelInVain(kind)),
    expected: how.expected,
  };
}

const reset = (way: Way): Way => ({
  ...way,
  ask: withAWord(way.ask),
  expected: {
    ...way.expected,
    states: [...(way.expected.states ?? []), 'failed'],
    outcomes: { ...way.expected.outcomes, failed: unknowable },
  },
});

const waiting = { deadlineSeconds: 300 };
const forced = { deadlineSeconds: 1, force: true };
const inAgent = (point: string): Omit<Place, 'kind'> => ({ role: 'agent', point: `agent.${point}` });
const inWorker = (point: string): Omit<Place, 'kind'> => ({ role: 'worker', point });

export const cancelledWays: readonly Way[] = [
  cancelled('domain.shutdown+cancelled-waiting', {
    prepare: stubborn,
    request: verb('shutdown', waiting),
    at: inWorker('step.after-intent:await-halt'),
    // That the guest was asked cannot be taken back; that it would be ended by force is.
    expected: { domain: 'running', effects: { asked: [1, 2] } },
    unlessDone: { domain: 'halted', effects: { asked: [1, 2], ended: 1 } },
  }),
  inVain('domain.shutdown+cancelled-in-vain', {
    prepare: stubborn,
    request: verb('shutdown', forced),
    at: inAgent('after-begin:force-off-guest'),
    expected: { domain: 'halted', effects: { asked: [1, 2], ended: 1 } },
  }),
  cancelled('domain.force_off+cancelled', {
    prepare: running,
    request: verb('force-off'),
    at: inWorker('claim.before'),
    expected: { domain: 'running' },
    unlessDone: { domain: 'halted', effects: { ended: 1 } },
  }),
  inVain('domain.force_off+cancelled-in-vain', {
    prepare: running,
    request: verb('force-off'),
    at: inAgent('after-begin:force-off-guest'),
    expected: { domain: 'halted', effects: { ended: 1 } },
  }),
  reset(
    cancelled('domain.reset+cancelled', {
      prepare: running,
      request: verb('reset'),
      at: inWorker('claim.before'),
      expected: { domain: 'running' },
      unlessDone: pressed,
    }),
  ),
  reset(
    inVain('domain.reset+cancelled-in-vain', {
      prepare: running,
      request: verb('reset'),
      at: inAgent('after-begin:reset-guest'),
      expected: { states: ['succeeded'], outcomes: { succeeded: pressed } },
    }),
  ),
  cancelled('domain.reboot+cancelled-waiting', {
    prepare: stubborn,
    request: verb('reboot', waiting),
    at: inWorker('step.after-intent:await-halt'),
    expected: { domain: 'running', effects: { asked: [1, 2] } },
    unlessDone: { domain: 'running', effects: { asked: [1, 2], ended: 1, started: 1 } },
  }),
  cancelled('domain.reboot+cancelled-starting', {
    prepare: running,
    request: verb('reboot', waiting),
    at: inAgent('after-begin:start-guest'),
    // The guest has shut down, and stays so.
    expected: { domain: 'halted', effects: { asked: [1, 2], ended: [1, 2], started: [0, 1] } },
    unlessDone: { domain: 'running', effects: { asked: [1, 2], ended: 1, started: 1 } },
  }),
  cancelled('domain.pause+cancelled', {
    prepare: running,
    request: verb('pause'),
    at: inAgent('before-end:pause-guest'),
    expected: { domain: 'running', effects: { paused: 1, resumed: 1 } },
    unlessDone: { domain: 'paused', effects: { paused: 1 } },
  }),
  cancelled('domain.resume+cancelled', {
    prepare: paused,
    request: verb('resume'),
    at: inAgent('before-end:resume-guest'),
    expected: { domain: 'paused', effects: { resumed: 1, paused: 1 } },
    unlessDone: { domain: 'running', effects: { resumed: 1 } },
  }),
  cancelled('domain.delete+cancelled', {
    prepare: ranOnce,
    request: remove('domains'),
    at: inAgent('after-begin:forget-on-host'),
    // What its host has forgotten of a halted guest is missed by nobody.
    expected: { domain: 'halted', effects: { forgotten: [0, 1] } },
    unlessDone: { domain: 'gone', effects: { forgotten: 1 } },
  }),
  cancelled('volume.create+cancelled', {
    prepare: async () => randomUUID(),
    request: (stage, id) => stage.acknowledged('POST', '/v1/volumes', volumeInput(stage, id)),
    at: inAgent('before-end:make'),
    expected: { volume: 'gone' },
    unlessDone: { volume: 'ready' },
  }),
  cancelled('volume.delete+cancelled', {
    prepare: volume,
    request: remove('volumes'),
    at: inWorker('step.before-intent:remove-bytes'),
    expected: { volume: 'ready' },
    unlessDone: { volume: 'gone' },
  }),
  cancelled('volume.delete+cancelled-removing', {
    prepare: volume,
    request: remove('volumes'),
    at: inAgent('after-begin:remove-bytes'),
    // What was under way may have removed its bytes, which cannot be undone.
    expected: { more: trueOfItsBytes },
    unlessDone: { volume: 'gone' },
  }),
  cancelled('storage_repository.create+cancelled', {
    prepare: async () => randomUUID(),
    request: (stage, id) =>
      stage.acknowledged('POST', '/v1/storage-repositories', repositoryInput(stage, id)),
    at: inAgent('before-end:attach-first'),
    expected: { row: { table: 'storage_repository', there: false } },
    unlessDone: { row: { table: 'storage_repository', there: true } },
  }),
  cancelled('storage_repository.delete+cancelled', {
    prepare: repository,
    request: remove('storage-repositories'),
    at: inWorker('step.before-intent:detach'),
    expected: { more: rowIs('storage_repository', 'ready') },
    unlessDone: { row: { table: 'storage_repository', there: false } },
  }),
  {
    // One that waits for its turn has nothing to take back.
    name: 'domain.pause+waiting+cancelled',
    kind: 'domain.pause',
    prepare: (stage) => stage.domain(),
    ask: whileItStands(
      verb('start'),
      { kind: 'domain.start', role: 'agent', point: 'agent.after-begin:start-guest' },
      async (stage, id, arm) => {
        await verb('pause?onBusy=wait')(stage, id);
        await cancel('domain.pause')(stage, id, arm);
      },
    ),
    expected: {
      states: ['cancelled', 'succeeded'],
      outcomes: {
        cancelled: { domain: 'running', effects: { started: 1 } },
        succeeded: { domain: 'paused', effects: { started: 1, paused: 1 } },
      },
    },
  },
];
