import { setTimeout as delay } from 'node:timers/promises';
import { type SeededRandom } from '../support/seeded-random.js';
import { type ApiCaller } from './api-caller.js';
import { type HistoryWriter } from './history.js';
import { type Asked, askRecorded, retryAfterOf } from './recorded-request.js';

export interface CrowdOptions {
  /** With a token of its own: budgets are counted by caller. */
  readonly api: ApiCaller;
  readonly history: HistoryWriter;
  readonly random: SeededRandom;
  readonly repositoryIds: readonly string[];
  /** So many are under way at once if nobody keeps them back: more than its budget. */
  readonly size: number;
  readonly goesOn: () => boolean;
}

/** Requests that are open at once. Far from the numbers of other clients. */
const CLIENTS = 16;
const FIRST_CLIENT = 1_000;
const REST_MS = 1_500;
const PATIENCE_MS = 20_000;
const MEBIBYTE = 1 << 20;

/** Many who come at once, all in one caller's name: they make volumes, and take them away, and press on every budget. */
export class Crowd {
  accepted = 0;
  /** Refused for now, and told when to come again. */
  refused = 0;

  constructor(private readonly options: CrowdOptions) {}

  async run(): Promise<void> {
    const { random, size, goesOn } = this.options;
    while (goesOn()) {
      const ids = Array.from({ length: size }, () => random.uuid());
      const made = await this.ended(await this.ask(ids, (id, at) => this.making(id, at)));
      await this.ended(await this.ask(made, (id) => this.removing(id)));
      // Whoever rests does so in pieces, so that the end is not waited for.
      for (let rested = 0; rested < REST_MS && goesOn(); rested += 100) await delay(100);
    }
  }

  /** Nobody waits for the end of what was accepted before asking for more. The operations, by volume. */
  private async ask(
    ids: readonly string[],
    what: (id: string, at: number) => Asked,
  ): Promise<Map<string, string>> {
    const accepted = new Map<string, string>();
    const left = [...ids.entries()];
    const client = async (number: number): Promise<void> => {
      for (let next = left.pop(); next; next = left.pop()) {
        const [at, id] = next;
        const operationId = await this.askOne(number, what(id, at));
        if (operationId !== undefined) accepted.set(id, operationId);
      }
    };
    await Promise.all(Array.from({ length: CLIENTS }, (_, at) => client(FIRST_CLIENT + at)));
    return accepted;
  }

  /** Those whose operation has succeeded. */
  private async ended(operations: ReadonlyMap<string, string>): Promise<string[]> {
    const done: string[] = [];
    for (const [id, operationId] of operations) {
      const found = await this.options.api.ended(operationId, PATIENCE_MS).catch(() => undefined);
      if (found?.state === 'succeeded') done.push(id);
    }
    return done;
  }

  private making(id: string, at: number): Asked {
    const { repositoryIds } = this.options;
    const repositoryId = repositoryIds[at % repositoryIds.length];
    const body = { id, name: `crowd-${id}`, repositoryId, sizeBytes: MEBIBYTE };
    return { method: 'POST', path: '/v1/volumes', verb: 'create', target: { type: 'volume', id }, body };
  }

  private removing(id: string): Asked {
    return {
      method: 'DELETE',
      path: `/v1/volumes/${id}`,
      verb: 'delete',
      target: { type: 'volume', id },
    };
  }

  /** Comes again when it was told to, or no answer came; gives up after a while. The operation, once it is accepted. */
  private async askOne(client: number, asked: Asked): Promise<string | undefined> {
    const { api, history, goesOn, random } = this.options;
    const key = random.uuid();
    for (const until = Date.now() + PATIENCE_MS; Date.now() < until;) {
      const answer = await askRecorded(api, history, client, asked, key);
      if (answer?.status === 202) {
        this.accepted += 1;
        return String(answer.body['id']);
      }
      if (answer?.status === 429) this.refused += 1;
      if (answer && answer.status < 500 && answer.status !== 429) return undefined;
      if (!goesOn()) return undefined;
      await delay(1_000 * (answer ? (retryAfterOf(answer) ?? 1) : 1));
    }
    return undefined;
  }
}
