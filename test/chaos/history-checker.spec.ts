import { atB, broken, calm, crashed, isOver, volumeOf } from './broken-histories.js';
import { checkHistory } from './history-checker.js';
import {
  allIsWell,
  answer,
  call,
  type Draft,
  effect,
  event,
  first,
  heard,
  lock,
  operation,
  request,
} from './whole-history.js';

/** The checker is checked: a history in which all is well, those that break a promise, and some that only look like it. */
it('finds nothing where all is well', () => {
  expect(checkHistory(allIsWell())).toEqual([]);
});

it.each(broken)('catches a break of %s: %s', (invariant, _, breakIt) => {
  const draft = allIsWell();
  breakIt(draft);
  const found = checkHistory(draft);
  expect(found.map((one) => one.invariant)).toContain(invariant);
  // What it says is of use: it names what it saw.
  for (const { what } of found) expect(what).not.toBe('');
});

it.each<[string, (draft: Draft) => void]>([
  [
    'an operation that needs attention, with its lock and what it holds, where not all parts are back',
    ({ inventory, effects, journals, clients }) => {
      clients.splice(0, clients.length, ...clients.filter(({ kind }) => kind !== 'calm'));
      Object.assign(first(inventory.operations, 3), {
        state: 'needs_attention',
        errorCode: 'operation.outcome_unknown',
        endedAt: null,
      });
      inventory.locks.push({ objectType: 'domain', objectId: 'web', operationId: 'o4' });
      first(inventory.domains).state = 'unknown';
      effects.pop();
      journals.splice(-2);
    },
  ],
  [
    'a start that was overtaken and acts while the force-off that overtook it is under way',
    ({ inventory, effects, journals, events }) => {
      Object.assign(first(inventory.operations), {
        state: 'cancelled',
        errorCode: 'operation.overtaken',
        endedAt: 140,
      });
      Object.assign(first(inventory.operations, 1), { createdAt: 140, startedAt: 145 });
      Object.assign(first(effects), { at: 160, since: 160 });
      first(journals, 1).at = 165;
      first(events, 1).changes = { state: 'cancelled' };
    },
  ],
  [
    'a pause that was cancelled and taken back',
    ({ inventory, effects, journals }) => {
      Object.assign(first(inventory.operations, 3), {
        state: 'cancelled',
        errorCode: 'operation.cancelled',
      });
      effects.push(effect('resumed', 460, { hostId: 'B', generation: 2, sequence: 3 }));
      journals.push(...call('domain.resume', 'o4', 458, { ...atB, attempt: 2 }));
      Object.assign(first(inventory.domains), { state: 'running', stateSince: 460 });
      Object.assign(first(inventory.guests, 1), { state: 'running', since: 460 });
    },
  ],
  [
    'an end that was seen a moment late, by somebody who only sees that a process is gone',
    (draft) => {
      draft.endsSeenWithinMs = 60;
      Object.assign(first(draft.effects, 1), { at: 295, since: 295 });
    },
  ],
  [
    'a guest that crashed behind the back of its agent',
    (draft) => {
      crashed(draft);
      draft.events.push(
        event(10, 'domain.state_changed', 'web', { at: 1_900, changes: { state: 'crashed' } }),
      );
      draft.inventory.lastEvent = 10;
      draft.clients.push(heard(10));
    },
  ],
  [
    'a guest that has shut down when it was asked to',
    ({ inventory, effects, journals }) => {
      inventory.operations.push(operation('o7', 'domain.shutdown', 600));
      effects.push(
        effect('asked', 610, { hostId: 'B', generation: 2, sequence: 3, since: 450 }),
        effect('ended', 630, { hostId: 'B', generation: 2, sequence: 4, by: 'guest' }),
      );
      journals.push(...call('domain.askShutdown', 'o7', 608, atB));
      isOver(inventory);
    },
  ],
  [
    'a call that is begun again by a higher attempt after it was refused, or after its agent was killed',
    ({ journals }) => {
      const [refused, end] = call('domain.resume', 'o9', 500, atB);
      const [again, done] = call('domain.resume', 'o9', 510, { ...atB, attempt: 2 });
      const [cutOff] = call('domain.resume', 'o10', 520, atB);
      const [anew] = call('domain.resume', 'o10', 530, { ...atB, attempt: 2 });
      journals.push(refused, { ...end, refused: 'domain.bad_state' }, again, done, cutOff, anew);
    },
  ],
  [
    'a cancelled operation that has to wait for PostgreSQL, and for the agent that it needs',
    ({ inventory, clients, journals }) => {
      first(inventory.operations, 5).endedAt = 21_000;
      journals.push(...call('domain.resume', 'o6', 7, atB));
      clients.push(
        { kind: 'fault', at: 600, what: 'postgres', name: 'postgres' },
        { kind: 'fault', at: 650, what: 'agent', name: 'right' },
        { kind: 'healed', at: 4_000, what: 'postgres', name: 'postgres' },
        { kind: 'healed', at: 12_000, what: 'agent', name: 'right' },
        calm(40_000),
      );
    },
  ],
  [
    'a volume whose delete was cancelled when its bytes were gone already',
    ({ inventory }) => {
      const id = inventory.volumeFiles.pop() ?? '';
      inventory.volumes.splice(0, inventory.volumes.length, { id, state: 'deleting' });
      inventory.operations.push({
        ...volumeOf(id, 700),
        id: 'd1',
        kind: 'volume.delete',
        state: 'cancelled',
      });
    },
  ],
  [
    'a late call without an event, whose server was killed a moment later',
    ({ events, clients }) => {
      Object.assign(first(events, 5), { type: 'host.updated' });
      clients.push({ kind: 'fault', at: 1_200, what: 'api', name: 'api-1' }, calm(2_000));
    },
  ],
  [
    'operations beyond a budget that it does not keep back: promised before, or Domus itself',
    ({ inventory, tables }) => {
      inventory.operations.push(volumeOf('w', 110), volumeOf('s', 110));
      Object.assign(first(inventory.operations, -2), { waited: true });
      Object.assign(first(inventory.operations, -1), { bounded: false, actor: 'system' });
      tables.splice(2, 0, lock('there', 120, 'w'), lock('there', 121, 's'));
    },
  ],
  [
    'as many operations beyond the budget of a caller as it had requests open at once',
    ({ inventory, clients }) => {
      const ids = ['p1', 'p2', 'p3'];
      for (const id of ids) inventory.operations.push(volumeOf(id, 101));
      inventory.operations.splice(4, 1);
      inventory.operations.push({ ...volumeOf('p4', 101), actor: 'token:other' });
      for (const at of [1, 2]) clients.unshift(request(100 + at));
      clients.push(...[1, 2].map((at) => answer(100 + at, { status: 409, code: 'object.busy' })));
    },
  ],
])('takes no offence at %s', (_, change) => {
  const draft = allIsWell();
  change(draft);
  expect(checkHistory(draft)).toEqual([]);
});

it('believes of two operations, of which one overtook the other, that each had its effect once', () => {
  const draft = allIsWell();
  const overtaken = { state: 'cancelled', errorCode: 'operation.overtaken', endedAt: 530 };
  draft.inventory.operations.push(
    operation('o7', 'domain.reset', 500, overtaken),
    operation('o8', 'domain.reset', 540, { createdAt: 530 }),
  );
  const doubled = () => checkHistory(draft).filter(({ invariant }) => invariant === 'I3 nothing doubled');
  for (const at of [520, 560]) draft.effects.push(effect('reset', at, { hostId: 'B', generation: 2 }));
  expect(doubled()).toEqual([]);
  draft.effects.push(effect('reset', 570, { hostId: 'B', generation: 2 }));
  expect(doubled()).toHaveLength(1);
});
