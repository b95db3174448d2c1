import { Injectable } from '@nestjs/common';
import { Reader } from '../../kernel/database/reader.js';
import { defaultSelection } from '../../kernel/database/selection.js';
import { OperationEngine } from '../../kernel/operations/engine.js';
import { operationBadState } from './operation.errors.js';
import { operationModel } from './operation.queries.js';
import { type ResolveOperationInput } from './operation.schema.js';

@Injectable()
export class OperationService {
  constructor(
    private readonly engine: OperationEngine,
    private readonly reader: Reader,
  ) {}

  /** Ends an operation that needs attention, on somebody's word. Throws `operation.not_found`, `operation.bad_state`. */
  async resolve(id: string, { outcome }: ResolveOperationInput): Promise<void> {
    await this.reader.get(operationModel, id, defaultSelection(operationModel));
    if (!(await this.engine.resolve(id, outcome)))
      throw operationBadState('Only an operation that needs attention can be resolved.');
  }
}
