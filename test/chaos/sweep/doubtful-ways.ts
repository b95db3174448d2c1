import { randomUUID } from 'node:crypto';
import { ended, type Stage } from './stage.js';
import { cancel, type Place } from './standing.js';
import { type Expected, type Way } from './ways.js';

/** In their arena operations of these kinds have so little time that a call which hangs is soon in doubt. */
export const hurried = {
  'domain.start': 6_000,
  'domain.shutdown': 6_000,
  'domain.reset': 6_000,
  'volume.create': 6_000,
};

interface Doubt {
  prepare: Way['prepare'];
  request: (stage: Stage, id: string) => Promise<unknown>;
  /** Where the agent keeps its answer to itself. */
  at: Omit<Place, 'kind'>;
  /** Somebody's word, once it is asked for. */
  word?: (stage: Stage, operationId: string) => Promise<unknown>;
  /** The answer is let go once it has come to one of these. */
  until: readonly string[];
  expected: Expected;
}

/**
 * An operation whose host says nothing until its time is over: nobody knows what came of it, and the host is asked, or somebody
 * has a word. What it kept to itself comes late, and does nothing more.
 */
function doubted(name: string, { prepare, request, at, word, until, expected }: Doubt): Way {
  const kind = name.split('+')[0] ?? '';
  return {
    name,
    kind,
    prepare,
    ask: async (stage, id, arm) => {
      arm();
      const held = stage.lay(id, kind, at.role, at.point, 'hold');
      try {
        await request(stage, id);
        const operationId = await stage.newest(kind, id);
        if ((await stage.comesTo(operationId, ['needs_attention', ...ended])) === 'needs_attention')
          await word?.(stage, operationId);
        await stage.comesTo(operationId, [...until, ...ended]);
      } finally {
        stage.release(held);
      }
    },
    expected,
    // The first doubt comes when the time is over; whoever dies while he asks is followed half a minute later.
    stillMs: 15_000,
    calmMs: 120_000,
  };
}

const start = (stage: Stage, id: string) => stage.acknowledged('POST', `/v1/domains/${id}/start`);
const begun: Expected = { domain: 'running', effects: { started: 1 } };
const undone: Expected = { domain: 'halted', effects: { started: [0, 1], ended: [0, 1] } };

export const doubtfulWays: readonly Way[] = [
  doubted('domain.start+believed', {
    prepare: (stage) => stage.domain(),
    request: start,
    at: { role: 'agent', point: 'agent.before-end:start-guest' },
    until: ['needs_attention'],
    expected: { states: ['succeeded', 'failed'], outcomes: { succeeded: begun, failed: undone } },
  }),
  doubted('domain.start+disbelieved', {
    prepare: (stage) => stage.domain(),
    request: start,
    // On its way to the agent's work: what asks there waits for what has begun, and not for this.
    at: { role: 'agent', point: 'agent.received:start-guest' },
    until: ['undoing'],
    expected: { states: ['failed', 'succeeded'], outcomes: { succeeded: begun, failed: undone } },
  }),
  doubted('domain.shutdown+believed', {
    prepare: (stage) => stage.running(),
    request: (stage, id) => stage.acknowledged('POST', `/v1/domains/${id}/shutdown`, { deadlineSeconds: 60 }),
    at: { role: 'agent', point: 'agent.before-end:ask-guest' },
    until: ['needs_attention'],
    expected: {
      states: ['succeeded', 'failed'],
      outcomes: {
        succeeded: { domain: 'halted', effects: { asked: [1, 2], ended: 1 } },
        failed: { effects: { asked: [0, 2], ended: [0, 1] } },
      },
    },
  }),
  doubted('volume.create+retried', {
    prepare: async () => randomUUID(),
    request: (stage, id) =>
      stage.acknowledged('POST', '/v1/volumes', {
        id,
        name: stage.name('volume'),
        repositoryId: stage.repositoryId,
        sizeBytes: 1 << 20,
      }),
    at: { role: 'agent', point: 'agent.before-end:make' },
    word: (stage, operationId) => stage.word(operationId, 'retry', {}),
    until: ['running'],
    expected: {
      states: ['succeeded', 'failed'],
      outcomes: { succeeded: { volume: 'ready' }, failed: { volume: 'gone' } },
    },
  }),
  doubted('domain.reset+resolved', {
    prepare: (stage) => stage.running(),
    request: (stage, id) => stage.acknowledged('POST', `/v1/domains/${id}/reset`),
    at: { role: 'agent', point: 'agent.before-end:reset-guest' },
    word: (stage, operationId) => stage.word(operationId, 'resolve', { outcome: 'succeeded' }),
    until: [],
    // The word is instead of the step's own end, and may come before there was one.
    expected: {
      domain: 'running',
      states: ['succeeded', 'failed'],
      effects: { reset: [0, 1] },
      leaves: ['open steps'],
    },
  }),
  {
    name: 'domain.start+cancelled+retried',
    kind: 'domain.start',
    prepare: (stage) => stage.domain(),
    // What it has done cannot be undone at first, which is for somebody to look at.
    ask: async (stage, id, arm) => {
      const held = stage.lay(id, 'domain.start', 'agent', 'agent.after-begin:start-guest', 'hold');
      try {
        await start(stage, id);
        await stage.hit(held);
        stage.lay(id, 'domain.start', 'agent', 'agent.after-begin:undo-start-guest', 'fail');
        await cancel('domain.start')(stage, id, arm);
      } finally {
        stage.release(held);
      }
      const operationId = await stage.newest('domain.start', id);
      if ((await stage.comesTo(operationId, ['needs_attention', ...ended])) === 'needs_attention')
        await stage.word(operationId, 'retry', {});
    },
    expected: {
      states: ['cancelled', 'succeeded', 'failed'],
      outcomes: { cancelled: undone, succeeded: begun, failed: undone },
    },
    stillMs: 15_000,
    calmMs: 120_000,
  },
];
