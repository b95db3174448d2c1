import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { createPostgresBackend, PostgresConnection, Queue, Worker } from 'bullmq';
import pg from 'pg';

/** Where a queue lives: BullMQ's Redis backend, or its PostgreSQL backend. */
export interface QueuePlace {
  readonly backend: 'redis' | 'postgres';
  readonly url: string;
}

interface BareQueue {
  add(
    name: string,
    data: unknown,
    options?: { removeOnComplete: boolean; removeOnFail: boolean },
  ): Promise<unknown>;
  close(): Promise<void>;
}

/** As BullMQ's own documentation has it, with everything at its default. */
export function openQueue({ backend, url }: QueuePlace, name: string): BareQueue {
  return backend === 'redis'
    ? new Queue(name, { connection: { url } })
    : new Queue(name, { connection: { connectionString: url } }, createPostgresBackend);
}

/** The same, but for the concurrency. Resolves when it takes jobs. */
export async function runWorker(
  { backend, url }: QueuePlace,
  name: string,
  concurrency: number,
  work: (jobId: string) => Promise<void>,
  completed: (jobId: string) => void,
): Promise<void> {
  const run = async ({ id = '' }: { id?: string | undefined }): Promise<void> => work(id);
  const worker =
    backend === 'redis'
      ? new Worker(name, run, { connection: { url }, concurrency })
      : new Worker(name, run, { connection: { connectionString: url }, concurrency }, createPostgresBackend);
  worker.on('error', (error: Error) => process.stderr.write(`bare worker: ${error.message}\n`));
  worker.on('completed', ({ id = '' }: { id?: string | undefined }) => completed(id));
  await worker.waitUntilReady();
}

/** A database of its own on the PostgreSQL of somebody else, with BullMQ's tables. */
export async function preparePostgres(besideUrl: string, database: string): Promise<QueuePlace> {
  const client = new pg.Client({ connectionString: besideUrl });
  await client.connect();
  await client.query(`create database ${client.escapeIdentifier(database)}`).finally(() => client.end());
  // Not by `URL`: over a socket there is no host in it.
  const url = besideUrl.replace(/^(\w+:\/\/[^/]*\/)[^?]*/, `$1${database}`);
  const connection = new PostgresConnection({ connectionString: url, migrate: true });
  await connection.waitUntilReady();
  await connection.close();
  return { backend: 'postgres', url };
}

export type WorkerWord = { readonly word: 'ready' | 'began' | 'completed'; readonly jobId?: string };

/** A bare worker in a process of its own. */
export class BareWorker {
  private constructor(private readonly child: ChildProcess) {}

  /** `holds`: each job goes on for ever, as one that is in the middle of its work. */
  static async start(
    place: QueuePlace,
    settings: { queue: string; concurrency: number; holds: boolean },
    heard: (word: WorkerWord) => void,
  ): Promise<BareWorker> {
    const program = fileURLToPath(new URL('./bare-worker.js', import.meta.url));
    const child = fork(program, [JSON.stringify({ place, ...settings })], { stdio: 'inherit' });
    child.on('message', (word: WorkerWord) => heard(word));
    const [first] = (await Promise.race([once(child, 'message'), once(child, 'exit')])) as [unknown];
    if (typeof first !== 'object') throw new Error(`A bare worker ended with ${String(first)}.`);
    return new BareWorker(child);
  }

  get pid(): number {
    return this.child.pid ?? 0;
  }

  async kill(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const gone = once(this.child, 'exit');
    this.child.kill('SIGKILL');
    await gone;
  }
}
