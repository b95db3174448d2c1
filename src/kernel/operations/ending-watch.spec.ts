import { type FeedEvent } from '../events/feed-window.js';
import { EndingWatch } from './ending-watch.js';

/** A feed that says what the test says, and tells whether anybody still listens. */
class Feed {
  readonly subscriptions: AbortSignal[] = [];
  private readonly said: FeedEvent[] = [];
  private next: (() => void) | undefined;

  subscribe(_after: number | null, signal: AbortSignal): Promise<AsyncGenerator<FeedEvent, void, undefined>> {
    this.subscriptions.push(signal);
    signal.addEventListener('abort', () => this.next?.());
    return Promise.resolve(this.stream(signal));
  }

  say(type: string, id: string, changes: object = {}): void {
    const data = JSON.stringify({ type, object: { type: 'operation', id }, changes });
    this.said.push({ number: this.said.length + 1, type, data });
    this.next?.();
  }

  get listening(): number {
    return this.subscriptions.filter(({ aborted }) => !aborted).length;
  }

  private async *stream(signal: AbortSignal): AsyncGenerator<FeedEvent, void, undefined> {
    while (!signal.aborted) {
      const event = this.said.shift();
      if (event) yield event;
      else await new Promise<void>((resolve) => (this.next = resolve));
    }
  }
}

const settled: string[] = [];
const watching = (): { feed: Feed; watch: EndingWatch } => {
  const feed = new Feed();
  const log = { error: (what: unknown) => expect(what).toBeUndefined() };
  const ask = (): Promise<string[]> => Promise.resolve([...settled]);
  return { feed, watch: new EndingWatch(feed, ask, log) };
};
const nobodyLeaves = new AbortController().signal;
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

afterEach(() => settled.splice(0));

it('however many wait, one subscription serves them, and it goes with the last', async () => {
  const { feed, watch } = watching();
  const waits = ['a', 'b', 'b'].map((id) => watch.settled(id, 60_000, nobodyLeaves));
  await turn();
  expect(feed.listening).toBe(1);
  feed.say('operation.ended', 'a');
  await waits[0];
  expect(feed.listening).toBe(1);
  feed.say('operation.updated', 'b', { state: 'running' });
  settled.push('b');
  feed.say('operation.updated', 'b', { state: 'needs_attention' });
  await Promise.all(waits);
  await turn();
  expect([feed.subscriptions.length, feed.listening]).toEqual([1, 0]);
});

it('what has ended before anybody listened is not waited for', async () => {
  const { watch } = watching();
  settled.push('a');
  await watch.settled('a', 60_000, nobodyLeaves);
});

it('that an operation needed attention before it was let go on ends no wait', async () => {
  const { feed, watch } = watching();
  let over = false;
  const wait = watch.settled('a', 60_000, nobodyLeaves).then(() => (over = true));
  await turn();
  feed.say('operation.updated', 'a', { state: 'needs_attention' });
  feed.say('operation.updated', 'a', { state: 'running' });
  await turn();
  expect(over).toBe(false);
  feed.say('operation.ended', 'a');
  await wait;
});

it('who leaves frees everything, and the others wait on', async () => {
  const { feed, watch } = watching();
  const gone = new AbortController();
  const first = watch.settled('a', 60_000, gone.signal);
  const second = watch.settled('a', 60_000, nobodyLeaves);
  await turn();
  gone.abort();
  await first;
  expect(feed.listening).toBe(1);
  feed.say('operation.ended', 'a');
  await second;
  await turn();
  expect(feed.listening).toBe(0);
});

it('who comes while the last one leaves is heard of all the same', async () => {
  const { feed, watch } = watching();
  const gone = new AbortController();
  const first = watch.settled('a', 60_000, gone.signal);
  await turn();
  gone.abort();
  const second = watch.settled('b', 60_000, nobodyLeaves);
  await first;
  await turn();
  await turn();
  feed.say('operation.ended', 'b');
  await second;
  await turn();
  expect(feed.listening).toBe(0);
});

it('a process that closes lets everybody go, and takes nobody more', async () => {
  const { watch } = watching();
  const waits = ['a', 'b'].map((id) => watch.settled(id, 60_000, nobodyLeaves));
  await turn();
  watch.close();
  await Promise.all([...waits, watch.settled('c', 60_000, nobodyLeaves)]);
});
