import { Inject, Injectable, type OnModuleDestroy } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { type Logger } from 'pino';
import { poolOf } from '../../kernel/database/statement.js';
import { EventLog } from '../../kernel/events/event-log.js';
import { LOG } from '../../kernel/logging/log.token.js';
import { EndingWatch, settledOf } from '../../kernel/operations/ending-watch.js';
import { type Terms } from '../../kernel/operations/terms.js';

/** Waits for the ends of operations, for whoever prefers to be answered then. */
@Injectable()
export class OperationEndings implements OnModuleDestroy {
  private readonly endings: EndingWatch;

  constructor(source: DataSource, events: EventLog, @Inject(LOG) log: Logger) {
    this.endings = new EndingWatch(events.feed, (ids) => settledOf(poolOf(source), ids), log);
  }

  /**
   * Until it has ended or needs attention, or as long as the terms say: whoever waited looks for himself. At once where nothing
   * is preferred. Refuses nothing.
   */
  async wait(operationId: string, { waitSeconds, gone }: Pick<Terms, 'waitSeconds' | 'gone'>): Promise<void> {
    if (waitSeconds !== null) await this.endings.settled(operationId, waitSeconds * 1_000, gone);
  }

  /** Before the HTTP server waits for its answers. */
  onModuleDestroy(): void {
    this.endings.close();
  }
}
