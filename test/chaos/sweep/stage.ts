import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { eventually } from '../../support/eventually.js';
import { AnswerLost, type Answer } from '../api-caller.js';
import { type Arena, type ArenaHost } from '../arena.js';
import { type Act, type Role, Signals } from './signals.js';

const MEBIBYTE = 1 << 20;
const PATIENCE_MS = 60_000;
/** A server that stands still is given up on after this long, and another one is asked the same. */
const ANSWER_MS = 4_000;
/** States that an operation never leaves. */
export const ended = ['succeeded', 'failed', 'cancelled'];
/** What a cancel is refused with. */
const tooLate = ['operation.bad_state', 'operation.past_no_return'];

/** What ways are played on: an arena whose programs are armed, and a client that never gives up. */
export class Stage {
  /** By agent: a repository that its hosts share. */
  private readonly repositories = new Map<string, string>();
  private count = 0;
  /** Hosts that nobody has for himself. */
  private readonly idle: ArenaHost[] = [];

  constructor(
    readonly arena: Arena,
    readonly signals: Signals,
  ) {}

  async prepare(): Promise<void> {
    this.idle.push(...this.arena.hosts);
    for (const agent of this.arena.agents.keys()) {
      const host = this.arena.hosts.find((one) => one.agent === agent);
      const id = randomUUID();
      await this.done('POST', '/v1/storage-repositories', this.repositoryInput(id, host?.id ?? ''));
      this.repositories.set(agent, id);
    }
  }

  repositoryInput(id: string, hostId: string): object {
    const name = this.name('repository');
    return { id, name, poolId: this.arena.poolId, path: `/srv/${name}`, create: true, hostId, shared: true };
  }

  name(noun: string): string {
    return `${noun}-${++this.count}`;
  }

  /** One of the repositories, each in turn. */
  get repositoryId(): string {
    const ids = [...this.repositories.values()];
    return ids[++this.count % ids.length] ?? '';
  }

  /** A halted domain; `stubborn`: its guest does not hear the power button; `hostId`: it can run on that host's agent alone. */
  async domain(how: { stubborn?: boolean; hostId?: string } = {}): Promise<string> {
    const id = randomUUID();
    await this.done('POST', '/v1/domains', this.domainInput(id, how));
    return id;
  }

  domainInput(
    id: string,
    { stubborn = false, hostId }: { stubborn?: boolean; hostId?: string } = {},
  ): object {
    const agent = hostId === undefined ? [...this.repositories.keys()][0] : this.host(hostId).agent;
    const file = (path: string) => ({ repositoryId: this.repositories.get(agent ?? ''), path });
    const commandLine = stubborn ? 'ignore-shutdown' : 'quiet';
    const boot =
      stubborn || hostId !== undefined
        ? { kernel: file('vmlinuz'), initramfs: file('initrd.img'), commandLine }
        : { firmware: 'bios', order: ['network'] };
    return { id, name: this.name('domain'), poolId: this.arena.poolId, memoryBytes: 16 * MEBIBYTE, boot };
  }

  async running(how: { stubborn?: boolean } = {}): Promise<string> {
    const id = await this.domain(how);
    await this.done('POST', `/v1/domains/${id}/start`);
    return id;
  }

  /** Asks, and waits until the operation has succeeded: for what comes before the part that is looked at. */
  async done(method: 'POST' | 'DELETE', path: string, body?: unknown): Promise<void> {
    const operationId = await this.acknowledged(method, path, body);
    if (operationId === null) return;
    const { state, error } = await this.arena.api.ended(operationId);
    if (state !== 'succeeded') throw new Error(`${method} ${path}: ${state} ${JSON.stringify(error)}`);
  }

  /**
   * A client with an Idempotency-Key that repeats its request until it is acknowledged; the operation's id. Null: it was
   * refused, but only after an answer had been lost, and says that what is asked for has happened already.
   */
  async acknowledged(
    method: 'POST' | 'DELETE',
    path: string,
    body: unknown = method === 'POST' ? {} : undefined,
    happened: readonly string[] = [],
    needless: readonly string[] = [],
  ): Promise<string | null> {
    const key = { 'idempotency-key': randomUUID() };
    const until = Date.now() + PATIENCE_MS;
    let lost = 0;
    for (;;) {
      const answer = await this.once(method, path, body, key);
      if (!answer) lost += 1;
      if (answer && answer.status < 300)
        return typeof answer.body['id'] === 'string' ? answer.body['id'] : null;
      const code = String(answer?.body['code']);
      if (answer && ((lost > 0 && happened.includes(code)) || needless.includes(code))) return null;
      // Its host has no listener for some seconds, while the server that listened stands still.
      const unknown = code === 'domain.bad_state' && String(answer?.body['detail']).includes(' is unknown;');
      const again = !answer || answer.status >= 500 || code === 'idempotency.in_progress' || unknown;
      if (!again || Date.now() > until)
        throw new Error(
          `${method} ${path} (${lost} answers lost): ${answer?.status} ${JSON.stringify(answer?.body)}`,
        );
      await delay(50);
    }
  }

  /** The newest operation of this kind on this object. */
  async newest(kind: string, targetId: string): Promise<string> {
    const [row] = await this.arena.rows<{ id: string }>(
      `select id from operation where target_id = $1 and kind = $2 order by created_at desc limit 1`,
      [targetId, kind],
    );
    if (!row) throw new Error(`There is no ${kind} of ${targetId}.`);
    return row.id;
  }

  /** Resolves with its state once that is one of these. */
  async comesTo(operationId: string, states: readonly string[]): Promise<string> {
    return eventually(
      async () => {
        const [row] = await this.arena.rows<{ state: string }>(`select state from operation where id = $1`, [
          operationId,
        ]);
        return row && states.includes(row.state) ? row.state : undefined;
      },
      { within: 2 * PATIENCE_MS, what: `that ${operationId} is ${states.join(' or ')}` },
    );
  }

  /** A word on one that needs attention, unless it needs none any more. */
  async word(operationId: string, verb: 'retry' | 'resolve', body: object): Promise<void> {
    const path = `/v1/operations/${operationId}/${verb}`;
    await this.acknowledged('POST', path, body, [], ['operation.bad_state']);
  }

  /** Takes it back, asking until that is acknowledged. False: it is too late. */
  async cancelled(operationId: string): Promise<boolean> {
    const key = { 'idempotency-key': randomUUID() };
    const until = Date.now() + PATIENCE_MS;
    for (;;) {
      const answer = await this.once('POST', `/v1/operations/${operationId}/cancel`, {}, key);
      if (answer && answer.status < 300) return true;
      if (answer && tooLate.includes(String(answer.body['code']))) return false;
      if (Date.now() > until) throw new Error(`No cancel of ${operationId}: ${JSON.stringify(answer?.body)}`);
      await delay(50);
    }
  }

  /** Undefined: the answer was lost. */
  private async once(
    method: 'POST' | 'DELETE',
    path: string,
    body: unknown,
    headers: Record<string, string>,
  ): Promise<Answer | undefined> {
    return this.arena.api
      .once(method, path, body, headers, { timeoutMs: ANSWER_MS })
      .catch((error: unknown) => {
        if (!(error instanceof AnswerLost)) throw error;
        return undefined;
      });
  }

  /** A host for somebody alone, until `giveBack`. */
  async lend(): Promise<ArenaHost> {
    return eventually(async () => this.idle.shift(), { within: 120_000, what: 'that a host is free' });
  }

  giveBack(id: string): void {
    this.idle.push(this.host(id));
  }

  host(id: string): ArenaHost {
    const host = this.arena.hosts.find((one) => one.id === id);
    if (!host) throw new Error(`There is no host ${id}.`);
    return host;
  }

  async hostIs(id: string, state: string): Promise<void> {
    await eventually(
      async () => {
        const [row] = await this.arena.rows<{ state: string }>('select state from host where id = $1', [id]);
        return row?.state === state;
      },
      { within: 60_000, what: `that host ${id} is ${state}` },
    );
  }

  /** As if the host had just booted, and this domain had to be started after it. */
  async booted(hostId: string, domainId: string): Promise<void> {
    await this.arena.rows(
      `with boot as (insert into host_boot (host_id, boot_id) values ($1, $3))
       insert into boot_start (host_id, boot_id, domain_id, place, delay_seconds) values ($1, $3, $2, 0, 0)`,
      [hostId, domainId, randomUUID()],
    );
    // Nobody asks for it: a server notices.
    await eventually(
      async () => {
        const rows = await this.arena.rows(
          `select 1 from boot_start s join host_boot b using (host_id, boot_id)
            where s.domain_id = $1 and b.operation_id is not null`,
          [domainId],
        );
        return rows.length > 0;
      },
      { within: PATIENCE_MS, what: 'that the autostart begins' },
    );
  }

  /** Lays a plan for the way itself: an operation is held, or fails, where the way needs it. */
  lay(targetId: string, kind: string, role: Role, point: string, act: Extract<Act, 'hold' | 'fail'>): string {
    const id = randomUUID();
    this.signals.plan({ id, targetId, kind, role, point, act });
    return id;
  }

  /** What stands for the way goes on. */
  release(planId: string): void {
    this.signals.release(planId);
  }

  /** Resolves when the plan was hit. Others of the batch may stop the worker that has it, and then the one that takes it over: 15 s each. */
  async hit(planId: string, within = 90_000): Promise<void> {
    const until = Date.now() + within;
    while (!this.signals.hit(planId)) {
      if (Date.now() > until) throw new Error('A way did not come to the point at which it wanted to stand.');
      await delay(15);
    }
  }
}
