import { Injectable } from '@nestjs/common';
import { OperationEngine } from '../../kernel/operations/engine.js';
import { type Intervention } from '../../kernel/operations/intervention.js';
import { ShortWrites } from '../../kernel/operations/short-writes.js';
import { type Terms, type Written } from '../../kernel/operations/terms.js';
import { OperationEndings } from './operation.endings.js';
import { operationModel } from './operation.queries.js';
import { type ResolveOperationInput } from './operation.schema.js';

/** What may be done to an operation: each once under a key, in the transaction that has the effect, and waited for if preferred. */
@Injectable()
export class OperationService {
  constructor(
    private readonly engine: OperationEngine,
    private readonly writes: ShortWrites,
    private readonly endings: OperationEndings,
  ) {}

  /** Takes an operation back. Throws `operation.not_found`, `operation.bad_state`, `operation.past_no_return`. */
  cancel(id: string, terms: Terms): Promise<Written> {
    return this.intervene('cancel', id, [id], this.engine.cancelling(id, terms.caller), terms);
  }

  /** Lets one that needs attention go on. Throws `operation.not_found`, `operation.bad_state`. */
  retry(id: string, terms: Terms): Promise<Written> {
    return this.intervene('retry', id, [id], this.engine.retrying(id, terms.caller), terms);
  }

  /** Ends an operation that needs attention, on somebody's word. Throws `operation.not_found`, `operation.bad_state`. */
  resolve(id: string, input: ResolveOperationInput, terms: Terms): Promise<Written> {
    return this.intervene(
      'resolve',
      id,
      [id, input],
      this.engine.resolving(id, input.outcome, terms.caller),
      terms,
    );
  }

  private async intervene<R>(
    verb: string,
    id: string,
    asked: readonly unknown[],
    intervention: Intervention<R>,
    terms: Terms,
  ): Promise<Written> {
    const target = { type: 'operation', id };
    const write = { kind: `operation.${verb}`, target, asked, ...intervention };
    const written = await this.writes.object(operationModel, write, terms);
    if (!('plan' in written)) await this.endings.wait(id, terms);
    return written;
  }
}
