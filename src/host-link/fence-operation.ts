import { capabilityAbsent, fenceOperation } from '../agent-contract/index.js';
import { isProblem } from '../kernel/errors/problem.js';
import { callFenced } from '../kernel/errors/problems.js';
import { failpoint } from '../kernel/failpoint.js';
import { type StepFencing } from '../kernel/operations/define-operation.js';
import { type HostLink } from './host-link.js';

/**
 * Resolves when nothing that an older attempt of the operation asked of this host acts there any more, nor ever will: what
 * is read next stays true, and what was not done yet is never done. It takes nothing back, and waits for what had begun.
 *
 * An agent from before this call (`capability.absent`) is left as it was: what it has in hand at this moment may still act.
 * `call.fenced` means that somebody newer has come, an attempt or a declared death of the host: then this attempt has no say
 * any more, and nothing of before begins there either.
 */
export async function fenceOperationOn(
  links: HostLink,
  host: { readonly hostId: string; readonly hostEpoch: number },
  fencing: StepFencing,
  signal: AbortSignal,
): Promise<void> {
  const { operationId, step, attempt } = fencing;
  const fence = { operationId, step, attempt, hostEpoch: host.hostEpoch, domain: null };
  try {
    await links.call(host.hostId, fenceOperation, { attempt }, { fence, signal });
  } catch (error) {
    if (!isProblem(error, capabilityAbsent, callFenced)) throw error;
  }
  if (failpoint) await failpoint('fence.answered', { operationId, step });
}
