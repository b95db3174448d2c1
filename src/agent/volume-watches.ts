import { type RepositoryRef } from '../agent-contract/index.js';
import { type Logger } from '../kernel/logging/logger.js';
import { type Backends } from '../storage-backend/backends.js';

/** One deletion is many notices of the kernel; the server is told once. */
const SETTLE_MS = 50;
/** inotify watches are few on some machines; beyond this the server's own slow look must do. */
const MOST_WATCHES = 256;

/**
 * Watches the repositories that a server has attached or listed, so that a volume which comes or goes by another hand is told of at once.
 * Only a hint: what is there is said by `listVolumes` alone, and a repository that cannot be watched is looked at all the same.
 */
export class VolumeWatches {
  private readonly watches = new Map<string, () => void>();
  private readonly settling = new Map<string, NodeJS.Timeout>();
  private closed = false;

  constructor(
    private readonly backends: Backends,
    private readonly onChange: (repositoryId: string) => void,
    private readonly log: Logger,
  ) {}

  /** Begins anew each time: the folder may have been made, mounted or moved since. Never rejects. */
  async keep(repository: RepositoryRef): Promise<void> {
    const { id, kind } = repository;
    if (this.closed || (this.watches.size >= MOST_WATCHES && !this.watches.has(id))) return;
    try {
      const stop = await this.backends[kind].watchVolumes(repository, () => this.note(id));
      this.watches.get(id)?.();
      if (this.closed) stop();
      else this.watches.set(id, stop);
    } catch (error) {
      this.log.debug({ err: error, repositoryId: id }, 'the repository cannot be watched');
    }
  }

  close(): void {
    this.closed = true;
    for (const stop of this.watches.values()) stop();
    for (const timer of this.settling.values()) clearTimeout(timer);
    this.watches.clear();
    this.settling.clear();
  }

  private note(repositoryId: string): void {
    if (this.closed || this.settling.has(repositoryId)) return;
    const timer = setTimeout(() => {
      this.settling.delete(repositoryId);
      this.onChange(repositoryId);
    }, SETTLE_MS);
    timer.unref();
    this.settling.set(repositoryId, timer);
  }
}
