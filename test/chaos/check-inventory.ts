import { type History } from './history.js';
import { type Invariant, type Violation } from './history-checker.js';

const LIVING = ['running', 'paused'];

/** When all has been calm, the inventory is what the hosts have, and nobody holds on to anything without a reason. */
export function checkInventory({ inventory, leftovers }: History): Violation[] {
  const violations: Violation[] = [];
  const say = (invariant: Invariant, what: string, ...evidence: unknown[]) =>
    violations.push({ invariant, what, evidence });
  const domains = new Map(inventory.domains.map((row) => [row.id, row]));
  const held = new Set(
    inventory.operations.filter(({ state }) => state === 'needs_attention').map(({ id }) => id),
  );
  const inDoubt = (id: string) =>
    inventory.operations.some((row) => row.targetId === id && row.state === 'needs_attention');

  const guests = Map.groupBy(inventory.guests, ({ domainId }) => domainId);
  for (const row of inventory.domains) {
    const live = (guests.get(row.id) ?? []).filter(({ state }) => LIVING.includes(state));
    const isTrue = LIVING.includes(row.state)
      ? live.length === 1 &&
        live[0]?.hostId === row.hostId &&
        live[0]?.state === row.state &&
        live[0]?.generation === row.generation
      : live.length === 0 && row.state !== 'unknown';
    if (!isTrue && !inDoubt(row.id))
      say(
        'I5 inventory is true',
        `domain ${row.id} is not what its host has`,
        row,
        ...(guests.get(row.id) ?? []),
      );
    if (!LIVING.includes(row.state) && row.hostId !== null && !inDoubt(row.id))
      say('I4 nothing left', `domain ${row.id} is over and still has a host`, row);
  }
  for (const guest of inventory.guests)
    if (!domains.has(guest.domainId))
      say(
        LIVING.includes(guest.state) ? 'I5 inventory is true' : 'I4 nothing left',
        `a host has a guest of the deleted domain ${guest.domainId}`,
        guest,
      );

  const living = (id: string | null) => {
    const row = id === null ? undefined : domains.get(id);
    return row !== undefined && (LIVING.includes(row.state) || inDoubt(row.id));
  };
  for (const claim of inventory.claims)
    if (!living(claim.domainId))
      say('I4 nothing left', 'a claim of a domain that does not run', claim, domains.get(claim.domainId));
  for (const { id, state } of inventory.domains)
    if (LIVING.includes(state) && !inventory.claims.some(({ domainId }) => domainId === id))
      say('I5 inventory is true', `domain ${id} runs without a claim`, domains.get(id));
  for (const hold of inventory.holds)
    if (!living(hold.domainId) && !(hold.operationId !== null && held.has(hold.operationId)))
      say('I4 nothing left', `a hold on volume ${hold.volumeId} that nobody needs`, hold);
  for (const lock of inventory.locks)
    if (!held.has(lock.operationId))
      say(
        'I4 nothing left',
        `a lock on ${lock.objectType} ${lock.objectId} without a live owner`,
        lock,
        inventory.operations.find(({ id }) => id === lock.operationId),
      );
  for (const row of inventory.outbox) say('I4 nothing left', 'a publication that nobody took', row);
  for (const row of inventory.operations)
    if (row.leaseOwner !== null) say('I4 nothing left', `operation ${row.id} is still leased`, row);

  const files = new Set(inventory.volumeFiles);
  /** Its delete was taken back when its bytes were gone already: what is left of it can only be deleted again. */
  const deletedTooSoon = (id: string, state: string): boolean =>
    state === 'deleting' &&
    !files.has(id) &&
    inventory.operations.some(
      (one) => one.targetId === id && one.kind === 'volume.delete' && one.state === 'cancelled',
    );
  for (const { id, state } of inventory.volumes) {
    if (state !== 'ready' && !inDoubt(id) && !deletedTooSoon(id, state))
      say('I4 nothing left', `volume ${id} is still ${state}`, {
        id,
        state,
        operations: inventory.operations.filter(({ targetId }) => targetId === id),
      });
    if (state === 'ready' && !files.has(id))
      say('I5 inventory is true', `volume ${id} is ready and has no bytes`, { id });
  }
  const known = new Set(inventory.volumes.map(({ id }) => id));
  for (const id of files)
    if (!known.has(id))
      say(
        'I4 nothing left',
        `the storage holds a volume ${id} that the inventory does not know`,
        ...inventory.operations.filter(({ targetId }) => targetId === id),
      );
  for (const leftover of leftovers) say('I4 nothing left', leftover);
  return violations;
}
