import { type NestFastifyApplication } from '@nestjs/platform-fastify';
import { DocumentBuilder, type OpenAPIObject, SwaggerModule } from '@nestjs/swagger';
import { z } from 'zod';
import { problem, retryAfterSeconds } from '../../kernel/errors/problem.js';

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
type Schemas = Record<string, { [key: string]: Json }>;

const isRecord = (value: Json | undefined): value is { [key: string]: Json } =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** JSON Schema 2020-12 as zod writes it, with its definitions as components: OpenAPI 3.1 takes it as it is. */
function convert(
  schema: z.ZodType,
  io: 'input' | 'output',
): { schema: { [key: string]: Json }; components: Schemas } {
  const components: Schemas = {};
  const rewrite = (value: Json): Json => {
    if (Array.isArray(value)) return value.map(rewrite);
    if (!isRecord(value)) return value;
    return Object.fromEntries(
      Object.entries(value)
        .filter(([key]) => key !== '$defs' && key !== '$schema' && key !== 'id')
        .map(([key, inner]) =>
          key === '$ref' && typeof inner === 'string'
            ? [key, inner.replace('#/$defs/', '#/components/schemas/')]
            : [key, isRecord(inner) && key === 'properties' ? rewriteEach(inner) : rewrite(inner)],
        ),
    );
  };
  const rewriteEach = (map: { [key: string]: Json }): { [key: string]: Json } =>
    Object.fromEntries(Object.entries(map).map(([key, inner]) => [key, rewrite(inner)]));
  const whole = JSON.parse(
    JSON.stringify(z.toJSONSchema(schema, { io, target: 'draft-2020-12', unrepresentable: 'any' })),
  ) as { [key: string]: Json };
  const definitions = whole['$defs'];
  if (isRecord(definitions))
    for (const [name, definition] of Object.entries(definitions)) {
      const done = rewrite(definition);
      if (isRecord(done)) components[name] = done;
    }
  const main = rewrite(whole);
  const { id } = z.globalRegistry.get(schema) ?? {};
  if (id !== undefined && isRecord(main) && !('$ref' in main)) {
    components[id] = main;
    return { schema: { $ref: `#/components/schemas/${id}` }, components };
  }
  return { schema: isRecord(main) ? main : {}, components };
}

const sorted = <T>(record: Record<string, T>): Record<string, T> =>
  Object.fromEntries(Object.entries(record).sort(([a], [b]) => (a < b ? -1 : 1)));

/** The document of every REST route, from the decorators and the zod objects. The same code gives the same bytes. */
export function openApiDocument(app: NestFastifyApplication): OpenAPIObject {
  const config = new DocumentBuilder()
    .setOpenAPIVersion('3.1.0')
    .setTitle('Domus')
    .setDescription('The management API for pools of Xen and QEMU/KVM hosts. Every refusal is a Problem.')
    .setVersion('v1')
    .addBearerAuth({ type: 'http', scheme: 'bearer' }, 'token')
    .addSecurityRequirements('token')
    .build();
  const document = SwaggerModule.createDocument(app, config, {
    operationIdFactory: (controller, method) => `${controller.replace(/Controller$/, '')}_${method}`,
    standardSchemaConverter: (schema, { schemaType }) =>
      schema instanceof z.ZodType ? convert(schema, schemaType) : undefined,
  });
  const { components } = convert(problem, 'output');
  const answered = components['Problem'];
  if (answered && isRecord(answered['properties']))
    answered['properties']['retryAfterSeconds'] = convert(retryAfterSeconds, 'output').schema;
  const schemas = { ...document.components?.schemas, ...components } as NonNullable<
    NonNullable<OpenAPIObject['components']>['schemas']
  >;
  return {
    ...document,
    paths: sorted(document.paths),
    components: { ...document.components, schemas: sorted(schemas) },
  };
}

/** `/openapi.json`, and the page `/docs` that shows it. */
export function installOpenApi(app: NestFastifyApplication): void {
  let text: string | undefined;
  const fastify = app.getHttpAdapter().getInstance();
  SwaggerModule.setup('docs', app, () => openApiDocument(app), {
    raw: false,
    customSiteTitle: 'Domus API',
    swaggerOptions: { url: '/openapi.json', persistAuthorization: false },
  });
  fastify.get('/openapi.json', { config: { gate: { public: true } } }, (_request, reply) => {
    text ??= JSON.stringify(openApiDocument(app));
    return reply.type('application/json; charset=utf-8').send(text);
  });
}
