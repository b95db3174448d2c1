import { type FastifyInstance } from 'fastify';

/**
 * Bodies are JSON, by its own name or, for a PATCH, as what ours are: RFC 7396. Text and forms are refused with 415, not
 * taken for an input: a page of another site can send those without being asked.
 */
export function readJsonAlone(fastify: FastifyInstance): void {
  fastify.removeContentTypeParser('text/plain');
  fastify.addContentTypeParser(
    'application/merge-patch+json',
    { parseAs: 'string' },
    // A JSON body may not smuggle a prototype in.
    fastify.getDefaultJsonParser('error', 'error'),
  );
}
