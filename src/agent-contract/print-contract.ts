import { z } from 'zod';
import { agentCalls } from './calls.js';
import { type AgentCall } from './define-call.js';
import { enrolAnswer, enrolInput, enrolPath, renewAnswer, renewInput, renewPath } from './enrolment.js';
import { frameToAgent, frameToServer } from './frame.js';
import { consoleProtocol, contractVersion, linkPath, linkProtocol } from './version.js';

const json = (schema: z.ZodType, io: 'input' | 'output') => z.toJSONSchema(schema, { io });

/** Everything that the two ends must agree on, as one text. `contract.lock.json` is the last one that was agreed. */
export function printContract(): string {
  const calls = Object.values<AgentCall>(agentCalls).map((call) => ({
    name: call.name,
    effect: call.effect,
    ...(call.once ? { once: true } : {}),
    ...(call.whileBehind ? { whileBehind: true } : {}),
    deadlineMs: call.deadlineMs,
    errors: call.errors.map(({ code, status, retry }) => ({ code, status, retry })),
    input: json(call.input, 'input'),
    output: json(call.output, 'output'),
  }));
  const contract = {
    version: contractVersion,
    protocols: { link: linkProtocol, linkPath, console: consoleProtocol },
    frames: { toAgent: json(frameToAgent, 'input'), toServer: json(frameToServer, 'input') },
    enrolment: [
      { path: enrolPath, input: json(enrolInput, 'input'), output: json(enrolAnswer, 'output') },
      { path: renewPath, input: json(renewInput, 'input'), output: json(renewAnswer, 'output') },
    ],
    calls: calls.sort((a, b) => a.name.localeCompare(b.name)),
  };
  return `${JSON.stringify(contract, null, 1)}\n`;
}
