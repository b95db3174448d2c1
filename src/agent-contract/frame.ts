import { z } from 'zod';
import { type Problem, problem } from '../kernel/errors/problem.js';
import { uuid } from '../kernel/schema/values.js';
import { fence } from './define-call.js';
import { stateFrame } from './host.js';

/**
 * The frames of the control channel: JSON-RPC 2.0, one frame per WebSocket text message. They do not know who
 * dialled. Requests go server → agent; `state` and `hello` go agent → server; `cancel` server → agent.
 */

/** Longer messages end the connection. A snapshot of some ten thousand domains and a console log of 10,000 lines fit. */
export const maxFrameBytes = 16 * 1024 * 1024;

/** How often either side pings, and sends an empty delta on a state stream. */
export const heartbeatMs = 5_000;

/**
 * At least this often an agent says all of it again, whatever changed: what the inventory has lost or never heard is put right by
 * then. Well below the half minute that is promised.
 */
export const resyncMs = 27_000;

/** Nothing heard for this long: the peer is gone. */
export const silenceMs = 10_000;

export const rpcCode = {
  invalidRequest: -32_600,
  unknownMethod: -32_601,
  invalidParams: -32_602,
  internal: -32_603,
  /** An expected refusal; `data` is the problem. */
  problem: -32_000,
} as const;

const version = z.literal('2.0');
const requestId = z.int().positive();

export const requestFrame = z.object({
  jsonrpc: version,
  id: requestId,
  method: z.string().max(100),
  params: z.object({
    input: z.unknown(),
    fence: fence.nullable(),
    deadlineMs: z.int().positive().max(86_400_000),
  }),
});

export const resultFrame = z.object({ jsonrpc: version, id: requestId, result: z.unknown() });

export const errorFrame = z.object({
  jsonrpc: version,
  id: requestId.nullable(),
  error: z.object({ code: z.int(), message: z.string(), data: problem.optional() }),
});

/** The server no longer waits for this request. */
export const cancelFrame = z.object({
  jsonrpc: version,
  method: z.literal('cancel'),
  params: z.object({ id: requestId }),
});

/** The agent's first frame on a control channel. */
export const helloFrame = z.object({
  jsonrpc: version,
  method: z.literal('hello'),
  params: z.object({
    contract: z.int().positive(),
    agentVersion: z.string(),
    hostId: uuid,
    hostEpoch: z.int().positive(),
  }),
});

export const stateNotification = z.object({
  jsonrpc: version,
  method: z.literal('state'),
  params: stateFrame,
});

/** What an agent may receive. */
export const frameToAgent = z.union([requestFrame, cancelFrame]);
/** What a server may receive. The result stands last: its `result` may be absent, so it would swallow the others. */
export const frameToServer = z.union([errorFrame, stateNotification, helloFrame, resultFrame]);

export type RequestFrame = z.output<typeof requestFrame>;
export type ErrorFrame = z.output<typeof errorFrame>;
export type FrameToAgent = z.output<typeof frameToAgent>;
export type FrameToServer = z.output<typeof frameToServer>;
export type Hello = z.output<typeof helloFrame>['params'];

/** A message that is no frame of this contract: a bug or a foreign program, and the end of the connection. */
export class FrameError extends Error {
  override readonly name = 'FrameError';
}

/** Reads one message. Whatever the bytes, it answers with a frame of the schema or throws a FrameError. */
export function readFrame<S extends z.ZodType>(schema: S, text: string): z.output<S> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new FrameError('The message is no JSON.');
  }
  const parsed = schema.safeParse(value);
  if (!parsed.success) throw new FrameError('The message is no frame of this contract.');
  return parsed.data;
}

export const requestText = (id: number, method: string, params: RequestFrame['params']): string =>
  JSON.stringify({ jsonrpc: '2.0', id, method, params });

export const resultText = (id: number, result: unknown): string =>
  JSON.stringify({ jsonrpc: '2.0', id, result });

export const errorText = (id: number | null, code: number, message: string, data?: Problem): string =>
  JSON.stringify({ jsonrpc: '2.0', id, error: { code, message, data } });

export const notificationText = (method: 'cancel' | 'hello' | 'state', params: unknown): string =>
  JSON.stringify({ jsonrpc: '2.0', method, params });
