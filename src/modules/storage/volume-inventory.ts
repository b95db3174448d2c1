import { Inject, Injectable, type OnApplicationShutdown } from '@nestjs/common';
import { DataSource, type EntityManager } from 'typeorm';
import { inspectVolume, listVolumes, type VolumeFormat } from '../../agent-contract/index.js';
import { HostLink } from '../../host-link/host-link.js';
import { firstRowOf, rowsOf } from '../../kernel/database/sql.js';
import { inTransaction } from '../../kernel/database/transaction.js';
import { isProblem } from '../../kernel/errors/problem.js';
import { appendEvent } from '../../kernel/events/append-event.js';
import { LOG } from '../../kernel/logging/log.token.js';
import { type Logger } from '../../kernel/logging/logger.js';
import { type Caller, systemCaller } from '../../kernel/operations/caller.js';
import { OperationEngine } from '../../kernel/operations/engine.js';
import { newId } from '../../kernel/schema/values.js';
import { type Executor } from './executor.js';
import { stillExecutorSql } from './executor-right.js';
import { moveExecutor } from './move-executor.js';
import { deleteVolume } from './operations/index.js';
import { repositoryUnavailable } from './storage.errors.js';

interface Row {
  id: string;
  format: VolumeFormat;
  sizeBytes: number;
  state: 'ready' | 'missing';
}

/** Of abandoned volumes of one repository, a look. */
const AT_ONCE = 50;

type Found = { readonly sizeBytes: number; readonly allocatedBytes: number } | null;

/**
 * Holds the volumes of the inventory against the bytes in their repositories: a volume whose bytes are gone is `missing`, and
 * `ready` again when they are back. A repository is looked at by one host alone, so that two which see a shared folder
 * at different times do not contradict each other: by its executor, which loses that part where it cannot reach it any more.
 */
@Injectable()
export class VolumeInventory implements OnApplicationShutdown {
  /** One look at a repository at a time; what was told during one is looked at by the next. */
  private readonly looking = new Map<string, { again: boolean; done: Promise<void> }>();

  constructor(
    private readonly source: DataSource,
    private readonly links: HostLink,
    private readonly engine: OperationEngine,
    @Inject(LOG) private readonly log: Logger,
  ) {}

  /** A host says that volumes came or went there, or it is time. Resolves when all have been looked at; never rejects. */
  async look(repositoryIds: readonly string[]): Promise<void> {
    await Promise.all(repositoryIds.map((id) => this.lookInTurn(id)));
  }

  /** The repositories that are attached to this host. Looking at them also makes the host watch them. Never rejects. */
  async lookAtAllOf(hostId: string): Promise<void> {
    try {
      const rows = await rowsOf<{ id: string }>(
        this.source.manager,
        `select r.id from attachment a join storage_repository r on r.id = a.repository_id
          where a.host_id = $1 and a.state = 'attached' and r.state = 'ready' order by r.id`,
        [hostId],
      );
      await this.look(rows.map(({ id }) => id));
    } catch (error) {
      this.log.debug({ err: error, hostId }, 'the repositories of a host could not be looked at');
    }
  }

  /** Where volumes were abandoned that a host could remove by now. Never rejects. */
  async lookAtAbandoned(): Promise<void> {
    try {
      const rows = await rowsOf<{ id: string }>(
        this.source.manager,
        `select distinct v.repository_id as id from volume v
           join attachment a on a.repository_id = v.repository_id and a.state = 'attached'
           join host h on h.id = a.host_id and h.state = 'online'
          where v.state = 'abandoned' order by id`,
      );
      await this.look(rows.map(({ id }) => id));
    } catch (error) {
      this.log.debug({ err: error }, 'abandoned volumes could not be looked for');
    }
  }

  async onApplicationShutdown(): Promise<void> {
    await Promise.all([...this.looking.values()].map(({ done }) => done));
  }

  private lookInTurn(repositoryId: string): Promise<void> {
    const under = this.looking.get(repositoryId);
    if (under) {
      under.again = true;
      return under.done;
    }
    const turn = { again: false, done: Promise.resolve() };
    const work = async () => {
      do {
        turn.again = false;
        await this.lookOnce(repositoryId).catch((error: unknown) => {
          // A host that is away, or a disk that is not mounted, says nothing about a volume.
          this.log.debug({ err: error, repositoryId }, 'the volumes of a repository could not be looked at');
        });
      } while (turn.again);
    };
    turn.done = work().finally(() => this.looking.delete(repositoryId));
    this.looking.set(repositoryId, turn);
    return turn.done;
  }

  private async lookOnce(repositoryId: string): Promise<void> {
    const { manager } = this.source;
    // Before the host is asked: what is made meanwhile is not missed.
    const known = await rowsOf<Row>(
      manager,
      `select id, format, size_bytes::float8 as "sizeBytes", state
         from volume where repository_id = $1 and state in ('ready', 'missing')`,
      [repositoryId],
    );
    const reader = await readerOf(manager, repositoryId);
    if (!reader) return;
    if (reader.leaving) await this.moveExecutor(repositoryId);
    const { repository } = reader;
    const { volumes } = await this.links
      .call(reader.hostId, listVolumes, { repository })
      .catch(async (error: unknown) => {
        if (reader.isExecutor && isProblem(error, repositoryUnavailable))
          await this.moveExecutor(repositoryId);
        throw error;
      });
    const there = new Set(volumes.map(({ id, format }) => `${id}.${format}`));
    for (const row of known) {
      const listed = there.has(`${row.id}.${row.format}`);
      if (listed === (row.state === 'ready')) continue;
      const found = await this.inspect(reader, row);
      if (row.state === 'ready' && found === null) await this.turn(row, null);
      if (row.state === 'missing' && found && isTheSame(row, found)) await this.turn(row, found);
    }
    await this.removeAbandoned(repositoryId);
  }

  /**
   * What creates have left whose host was declared dead, or which somebody ended: the host that has the right now takes it off the
   * storage. A delete like anybody's, so that it is done once, under that right, and goes on whoever dies.
   */
  private async removeAbandoned(repositoryId: string): Promise<void> {
    const rows = await rowsOf<{ id: string }>(
      this.source.manager,
      `select id from volume where repository_id = $1 and state = 'abandoned' order by id limit ${AT_ONCE}`,
      [repositoryId],
    );
    for (const { id } of rows) {
      try {
        await this.engine.accept(deleteVolume, { volumeId: id, expected: null }, removing());
      } catch (error) {
        // Another replica, or somebody, was first; or the host went away again, and the next look is for the one that follows it.
        if (!isProblem(error)) throw error;
        this.log.info({ volumeId: id, code: error.code }, 'an abandoned volume cannot be removed yet');
      }
    }
  }

  private async moveExecutor(repositoryId: string): Promise<void> {
    const { source, links, log } = this;
    await moveExecutor({ source, links, log }, repositoryId);
  }

  /** `undefined`: something is there that cannot be used. */
  private async inspect({ hostId, repository }: Reader, { id, format }: Row): Promise<Found | undefined> {
    try {
      const { found } = await this.links.call(hostId, inspectVolume, { volume: { id, format, repository } });
      return found;
    } catch (error) {
      if (isProblem(error) && error.code === 'volume.bad_image') return undefined;
      throw error;
    }
  }

  private async turn({ id, state }: Row, found: Found): Promise<void> {
    await inTransaction(this.source, async (tx) => {
      const row = await firstRowOf<{ poolId: string; domainIds: string[] }>(
        tx,
        `select r.pool_id as "poolId",
                array(select distinct k.domain_id from disk k where k.volume_id = v.id) as "domainIds"
           from volume v join storage_repository r on r.id = v.repository_id
          where v.id = $1 and v.state = $2 for update of v`,
        [id, state],
      );
      if (!row || (await isWorkedOn(tx, id))) return;
      const after = found ? 'ready' : 'missing';
      await rowsOf(
        tx,
        `update volume set state = $2, size_bytes = coalesce($3, size_bytes), allocated_bytes = $4, updated_at = now()
          where id = $1`,
        [id, after, found?.sizeBytes ?? null, found?.allocatedBytes ?? null],
      );
      this.log.warn({ volumeId: id, state: after }, 'the bytes of a volume came or went by another hand');
      await appendEvent(tx, {
        type: found ? 'volume.found' : 'volume.missing',
        object: { type: 'volume', id },
        poolId: row.poolId,
        operationId: null,
        changes: { state: after, cause: 'out_of_band', domainIds: row.domainIds },
      });
    });
  }
}

interface Reader extends Pick<Executor, 'hostId' | 'repository'> {
  readonly isExecutor: boolean;
  /** The executor has yet to say that it has ended. */
  readonly leaving: boolean;
}

/** The executor; while it is away another host that reaches the repository, always the same: to look is no work. */
async function readerOf(tx: EntityManager, repositoryId: string): Promise<Reader | undefined> {
  const row = await firstRowOf<Omit<Reader, 'repository'> & Executor['repository']>(
    tx,
    `select h.id as "hostId", r.id, r.kind, a.path, coalesce(${stillExecutorSql('e', 'h')}, false) as "isExecutor",
            coalesce(e.leaving, false) as leaving
       from attachment a join host h on h.id = a.host_id join storage_repository r on r.id = a.repository_id
       left join executor e on e.repository_id = r.id
      where r.id = $1 and a.state = 'attached' and h.state = 'online'
      order by "isExecutor" desc, h.id limit 1`,
    [repositoryId],
  );
  if (!row) return undefined;
  const { hostId, isExecutor, leaving, ...repository } = row;
  return { hostId, isExecutor, leaving, repository };
}

/** Bytes of another size are another volume's. One that was entered without its bytes has no size yet. */
const isTheSame = ({ sizeBytes }: Row, found: NonNullable<Found>): boolean =>
  sizeBytes === 0 || sizeBytes === found.sizeBytes;

const removing = (): Caller => ({
  ...systemCaller(newId()),
  reason: 'Nobody knows what its create has left on the storage.',
});

/** An operation at work on the volume knows better than a look from outside. */
const isWorkedOn = async (tx: EntityManager, volumeId: string): Promise<boolean> =>
  (await firstRowOf(
    tx,
    `select 1 from object_lock where object_type = 'volume' and object_id = $1 and mode = 'exclusive' and granted`,
    [volumeId],
  )) !== undefined;
