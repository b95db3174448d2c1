import { type FastifyInstance } from 'fastify';
import { failpoint } from '../../kernel/failpoint.js';

/** Where the answer that acknowledges an operation may get lost on its way. Nothing is installed unless a test has armed the points. */
export function installAnswerFailpoint(fastify: FastifyInstance): void {
  if (!failpoint) return;
  fastify.addHook('onSend', async (_, reply, payload) => {
    const [, operationId] = /^\/v1\/operations\/([^/]+)$/.exec(String(reply.getHeader('location'))) ?? [];
    if (operationId === undefined) return payload;
    if ((await failpoint?.('accept.answer', { operationId })) === 'drop') reply.raw.destroy();
    return payload;
  });
}
