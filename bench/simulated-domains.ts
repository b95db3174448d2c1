import { type Client } from './client.js';

export interface Accepted {
  readonly id: string;
  readonly target: { readonly id: string };
}

/** `work` for every item, by so many callers at once, in the order of the items. */
export async function inParallel<T, R>(
  items: readonly T[],
  callers: number,
  work: (item: T, caller: number) => Promise<R>,
): Promise<R[]> {
  const results: R[] = new Array<R>(items.length);
  const rest = items.entries();
  const one = async (caller: number): Promise<void> => {
    for (const [index, item] of rest) results[index] = await work(item, caller);
  };
  await Promise.all(Array.from({ length: callers }, (_, caller) => one(caller)));
  return results;
}

/** Halted domains on simulated hosts: a card on the network, no disk. Answers with their ids. */
export async function createDomains(
  client: Client,
  count: number,
  boot: unknown = { firmware: 'bios', order: ['disk'] },
): Promise<string[]> {
  const { items } = await client.json<{ items: { id: string }[] }>('GET', '/v1/pools');
  const poolId = items[0]?.id;
  const numbers = Array.from({ length: count }, (_, number) => number);
  const accepted = await inParallel(numbers, 8, (number) =>
    client.json<Accepted>('POST', '/v1/domains', {
      ...{ name: `bench-${number}`, poolId, memoryBytes: 2 ** 26, boot, nics: [{}] },
    }),
  );
  return accepted.map(({ target }) => target.id);
}
