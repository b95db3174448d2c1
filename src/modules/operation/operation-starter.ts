import { Injectable } from '@nestjs/common';
import { Reader } from '../../kernel/database/reader.js';
import { defaultSelection } from '../../kernel/database/selection.js';
import { type OperationDefinition } from '../../kernel/operations/define-operation.js';
import { OperationEngine } from '../../kernel/operations/engine.js';
import { hasSettled, type OperationView } from '../../kernel/operations/operation-view.js';
import { type Started, type Terms } from '../../kernel/operations/terms.js';
import { OperationEndings } from './operation.endings.js';
import { operationModel } from './operation.queries.js';

/** Starts operations on the terms on which a face was asked to: the one way from any service of any noun. */
@Injectable()
export class OperationStarter {
  constructor(
    private readonly engine: OperationEngine,
    private readonly reader: Reader,
    private readonly endings: OperationEndings,
  ) {}

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
    await this.endings.wait(operation.id, terms);
    return { replayed, ...(await this.asItIs(operation)) };
  }

  private async asItIs(promised: OperationView): Promise<{ operation: OperationView; ended: boolean }> {
    try {
      const { text } = await this.reader.get(operationModel, promised.id, defaultSelection(operationModel));
      const operation = JSON.parse(text) as OperationView;
      return { operation, ended: hasSettled(operation) };
    } catch {
      // It was promised, and that is what is known for sure.
      return { operation: promised, ended: false };
    }
  }
}
