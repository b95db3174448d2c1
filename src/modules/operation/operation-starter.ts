import { Inject, Injectable, type OnModuleDestroy } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { type Logger } from 'pino';
import { Reader } from '../../kernel/database/reader.js';
import { defaultSelection } from '../../kernel/database/selection.js';
import { poolOf } from '../../kernel/database/statement.js';
import { EventLog } from '../../kernel/events/event-log.js';
import { LOG } from '../../kernel/logging/log.token.js';
import { type OperationDefinition } from '../../kernel/operations/define-operation.js';
import { EndingWatch, settledOf } from '../../kernel/operations/ending-watch.js';
import { OperationEngine } from '../../kernel/operations/engine.js';
import { type OperationView } from '../../kernel/operations/operation-view.js';
import { type Started, type Terms } from '../../kernel/operations/terms.js';
import { operationModel } from './operation.queries.js';

/** Starts operations on the terms on which a face was asked to: the one way from any service of any noun. */
@Injectable()
export class OperationStarter implements OnModuleDestroy {
  private readonly endings: EndingWatch;

  constructor(
    private readonly engine: OperationEngine,
    private readonly reader: Reader,
    source: DataSource,
    events: EventLog,
    @Inject(LOG) log: Logger,
  ) {
    this.endings = new EndingWatch(events.feed, (ids) => settledOf(poolOf(source), ids), log);
  }

  /**
   * Promised, answered as before, or planned; and waited for, if that is preferred. `asked`: the input without what was made
   * up for it. Rejects as `OperationEngine.begin` does; a wait refuses nothing.
   */
  async start<Services, I, P, Step extends string, Found>(
    definition: OperationDefinition<Services, I, P, Step, Found>,
    input: I,
    terms: Terms,
    asked: unknown = input,
  ): Promise<Started> {
    const begun = await this.engine.begin(definition, input, terms, asked);
    if ('plan' in begun) return begun;
    const { operation, replayed } = begun;
    if (terms.waitSeconds === null) return { operation, replayed, ended: false };
    return { replayed, ...(await this.settled(operation, terms.waitSeconds, terms.gone)) };
  }

  /** Before the HTTP server waits for its answers. */
  onModuleDestroy(): void {
    this.endings.close();
  }

  /** The operation as it is when it has ended, or when the time is over. */
  private async settled(
    promised: OperationView,
    seconds: number,
    gone: AbortSignal,
  ): Promise<{ operation: OperationView; ended: boolean }> {
    await this.endings.settled(promised.id, seconds * 1_000, gone);
    try {
      const { text } = await this.reader.get(operationModel, promised.id, defaultSelection(operationModel));
      const operation = JSON.parse(text) as OperationView;
      return { operation, ended: operation.endedAt !== null || operation.state === 'needs_attention' };
    } catch {
      // It was promised, and that is what is known for sure.
      return { operation: promised, ended: false };
    }
  }
}
