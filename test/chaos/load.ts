import { setTimeout as delay } from 'node:timers/promises';
import { type SeededRandom } from '../support/seeded-random.js';
import { type Answer, type ApiCaller } from './api-caller.js';
import { type HistoryWriter } from './history.js';
import { askRecorded, retryAfterOf } from './recorded-request.js';
import { type Heard } from './subscriber.js';
import { type Choice, choose, World } from './world.js';

export interface LoadOptions {
  readonly api: ApiCaller;
  readonly history: HistoryWriter;
  readonly random: SeededRandom;
  readonly world: World;
  /** It ends when so many operations have been accepted, */
  readonly operations: number;
  /** or so much time has passed. */
  readonly deadlineMs: number;
  readonly clients: number;
}

const AGAIN_MS = [50, 100, 200, 400, 800];
/** A client that gets no answer in this time gives the request up, as people do. */
const PATIENCE_MS = 60_000;
const WATCH_MS = 5_000;
const OVER = ['succeeded', 'failed', 'cancelled', 'needs_attention'];

/**
 * Several clients that do as clients do: each chooses something for one of the pool's objects, asks again under the same id
 * and key when no answer came, and mostly waits for the end of what was accepted. Bounded in count and in time.
 */
export class Load {
  accepted = 0;
  readonly refusals = new Map<string, number>();
  private stopped = false;
  private readonly waiting = new Map<string, () => void>();
  private mayCancel = true;

  constructor(private readonly options: LoadOptions) {}

  /** Told of every event: it knows from them what may be asked, and what has ended. */
  hear(event: Heard): void {
    this.options.world.hear(event);
    if (event.type !== 'operation.ended' && event.changes['state'] !== 'needs_attention') return;
    this.waiting.get(event.objectId)?.();
  }

  /** Resolves when all has been asked and answered; what is still under way has been accepted. */
  async run(): Promise<void> {
    const timer = setTimeout(() => this.stop(), this.options.deadlineMs);
    const clients = Array.from({ length: this.options.clients }, (_, at) =>
      this.client(at, this.options.random.fork()),
    );
    await Promise.all(clients);
    clearTimeout(timer);
  }

  stop(): void {
    this.stopped = true;
  }

  private get goesOn(): boolean {
    return !this.stopped && this.accepted < this.options.operations;
  }

  private async client(number: number, random: SeededRandom): Promise<void> {
    while (this.goesOn) {
      const choice = choose(this.options.world, random);
      if (!choice) {
        await delay(5);
        continue;
      }
      const key = random.uuid();
      const answer = await this.ask(number, choice, key);
      this.options.world.answered(choice, answer?.status ?? 0);
      if (answer?.status !== 202) {
        // Whoever is refused asks for something else, and not at once.
        if (answer && answer.status >= 400) await delay(5 + random.below(20));
        continue;
      }
      this.accepted += 1;
      const operationId = String(answer.body['id']);
      if (this.mayCancel && random.chance(0.03)) await this.cancel(number, operationId);
      if (random.chance(0.85)) await this.ended(operationId);
      this.options.world.free(choice);
    }
  }

  /** The last answer; undefined when none came in all that time. */
  private async ask(client: number, choice: Choice, key: string): Promise<Answer | undefined> {
    const until = Date.now() + PATIENCE_MS;
    for (let repetition = 0; ; repetition += 1) {
      const answer = await this.once(client, choice, key);
      if (answer && answer.status < 500 && answer.status !== 429) return answer;
      if (Date.now() > until) return answer;
      const told = answer?.status === 429 ? retryAfterOf(answer) : null;
      await delay(told === null ? (AGAIN_MS[Math.min(repetition, AGAIN_MS.length - 1)] ?? 0) : told * 1_000);
    }
  }

  private async once(client: number, choice: Choice, key: string | null): Promise<Answer | undefined> {
    const { api, history } = this.options;
    const answer = await askRecorded(api, history, client, choice, key);
    if (answer && answer.status >= 400) {
      const code = String(answer.body['code'] ?? 'without a code');
      this.refusals.set(code, (this.refusals.get(code) ?? 0) + 1);
    }
    return answer;
  }

  /** Not repeated: whoever cancels does not insist. */
  private async cancel(client: number, operationId: string): Promise<void> {
    const path = `/v1/operations/${operationId}/cancel`;
    const target = { type: 'operation', id: operationId } as const;
    const answer = await this.once(
      client,
      { method: 'POST', path, verb: 'cancel', target, body: undefined, headers: {} },
      null,
    );
    if (answer?.status === 404 || answer?.status === 405) this.mayCancel = false;
  }

  /** By its event, or, where that does not come, by asking. */
  private async ended(operationId: string): Promise<void> {
    for (const until = Date.now() + PATIENCE_MS; Date.now() < until && !this.stopped;) {
      const told = await new Promise<boolean>((resolve) => {
        const timer = setTimeout(() => resolve(false), WATCH_MS);
        this.waiting.set(operationId, () => {
          clearTimeout(timer);
          resolve(true);
        });
      });
      this.waiting.delete(operationId);
      if (told) return;
      const found = await this.options.api
        .once('GET', `/v1/operations/${operationId}`)
        .catch(() => undefined);
      if (found?.status === 200 && OVER.includes(String(found.body['state']))) return;
    }
  }
}
