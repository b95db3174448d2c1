import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { Reader } from '../../kernel/database/reader.js';
import { refusalOf } from '../../kernel/database/reason.js';
import { type ProblemError } from '../../kernel/errors/problem.js';
import { operationReasons } from '../../kernel/operations/operation-actions.js';
import { OperationEngine } from '../../kernel/operations/engine.js';
import { type OperationView } from '../../kernel/operations/operation-view.js';
import { ShortWrites } from '../../kernel/operations/short-writes.js';
import { type Terms, type Written } from '../../kernel/operations/terms.js';
import { operationBadState } from './operation.errors.js';
import { operationModel } from './operation.queries.js';
import { type ResolveOperationInput } from './operation.schema.js';

@Injectable()
export class OperationService {
  constructor(
    private readonly engine: OperationEngine,
    private readonly reader: Reader,
    private readonly writes: ShortWrites,
    private readonly source: DataSource,
  ) {}

  /** Takes an operation back. Throws `operation.not_found`, `operation.bad_state`, `operation.past_no_return`. */
  cancel(id: string, terms: Terms): Promise<Written> {
    return this.writes.elsewhere(
      operationModel,
      {
        kind: 'operation.cancel',
        target: { type: 'operation', id },
        asked: [id],
        check: () => this.engine.checkCancel(id),
        act: () => this.engine.cancel(id, terms.caller),
      },
      terms,
    );
  }

  /** Lets one that needs attention go on. Throws `operation.not_found`, `operation.bad_state`. */
  retry(id: string, terms: Terms): Promise<Written> {
    return this.writes.elsewhere(
      operationModel,
      {
        kind: 'operation.retry',
        target: { type: 'operation', id },
        asked: [id],
        check: async () => {
          if ((await this.stateOf(id)) !== 'needs_attention') throw await this.cannotBeRetried(id);
        },
        act: async () => {
          await this.stateOf(id);
          if (!(await this.engine.retry(id, terms.caller))) throw await this.cannotBeRetried(id);
        },
      },
      terms,
    );
  }

  /** Ends an operation that needs attention, on somebody's word. Throws `operation.not_found`, `operation.bad_state`. */
  resolve(id: string, input: ResolveOperationInput, terms: Terms): Promise<Written> {
    return this.writes.elsewhere(
      operationModel,
      {
        kind: 'operation.resolve',
        target: { type: 'operation', id },
        asked: [id, input],
        check: async () => {
          if ((await this.stateOf(id)) !== 'needs_attention') throw await this.cannotBeResolved(id);
        },
        act: async () => {
          await this.stateOf(id);
          if (!(await this.engine.resolve(id, input.outcome))) throw await this.cannotBeResolved(id);
        },
      },
      terms,
    );
  }

  private async stateOf(id: string): Promise<string> {
    const { text } = await this.reader.get(operationModel, id, STATE);
    return (JSON.parse(text) as OperationView).state;
  }

  private async cannotBeRetried(id: string): Promise<ProblemError> {
    const refusal = await refusalOf(this.source.manager, 'operation', id, operationReasons.retry);
    return operationBadState('Only an operation that needs attention can be retried.', refusal ?? {});
  }

  private async cannotBeResolved(id: string): Promise<ProblemError> {
    const refusal = await refusalOf(this.source.manager, 'operation', id, operationReasons.resolve);
    return operationBadState('Only an operation that needs attention can be resolved.', refusal ?? {});
  }
}

const STATE = { fields: new Set(['state']), relations: new Map() };
