import { z } from 'zod';
import { actionsOf } from '../../kernel/schema/action.js';
import { instant, uuid } from '../../kernel/schema/values.js';

/** What a client offers, beside `token.<token>`, and what the server chooses: binary frames are the bytes. */
export const consoleProtocol = 'domus.console.v1';

export const consoleKind = z.enum(['serial']).meta({ id: 'ConsoleKind' });
export const consoleMode = z
  .enum(['drive', 'watch'])
  .meta({ id: 'ConsoleMode', description: '`watch`: what is typed is dropped.' });
export type ConsoleMode = z.output<typeof consoleMode>;

const consoleActions = { createSession: '`POST …/sessions`' };
export type ConsoleAction = keyof typeof consoleActions;

export const consoleView = z
  .object({
    id: uuid,
    domainId: uuid,
    kind: consoleKind,
    createdAt: instant,
    actions: actionsOf('Console', consoleActions),
  })
  .meta({ id: 'Console', description: "A domain's screen or serial line." });

export const consoleLogQuery = z.strictObject({
  tail: z.coerce.number().int().min(1).max(10_000).default(100).describe('How many lines, from the end.'),
});

export const createConsoleSessionInput = z
  .strictObject({ mode: consoleMode.default('drive') })
  .meta({ id: 'CreateConsoleSessionInput' });

export const consoleSession = z
  .object({
    id: uuid,
    url: z.string().describe('Where to connect by WebSocket.'),
    token: z
      .string()
      .describe('Good for one connection: offered as the subprotocol `token.<token>`. Shown only here.'),
    protocols: z.array(z.string()).describe('One of these is offered beside the token.'),
    expiresAt: instant.describe('Until when the connection must have been made.'),
  })
  .meta({ id: 'ConsoleSession', description: 'A right to connect to a console, once and soon.' });
export type ConsoleSession = z.output<typeof consoleSession>;
export type ConsoleLogQuery = z.output<typeof consoleLogQuery>;
export type CreateConsoleSessionInput = z.output<typeof createConsoleSessionInput>;
