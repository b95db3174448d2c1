import { type ArgumentMetadata, Injectable, type PipeTransform } from '@nestjs/common';
import { z } from 'zod';
import { parseInput } from '../parse-input.js';

const PLACE: Readonly<Record<string, string>> = { body: 'body', query: 'query', param: 'path' };

/** Parses every `@Body`, `@Query` and `@Param` that has a schema, and refuses with `request.invalid`. */
@Injectable()
export class ParsePipe implements PipeTransform {
  transform(value: unknown, metadata: ArgumentMetadata): unknown {
    const schema: unknown = metadata.schema;
    if (!(schema instanceof z.ZodType)) return value;
    // A POST without a body asks for what an empty object asks for.
    const given = metadata.type === 'body' ? (value ?? {}) : value;
    return parseInput(schema, given, metadata.data ?? '', PLACE[metadata.type] ?? 'request');
  }
}
