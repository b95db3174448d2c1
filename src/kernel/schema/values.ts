import { v7 } from 'uuid';
import { z } from 'zod';

/** A lower-case UUID of any version; the application makes version 7 itself, so that PostgreSQL 15 serves as well as 18. */
export const uuid = z
  .string()
  .regex(/^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/, 'must be a lower-case UUID')
  .meta({ format: 'uuid' });

export const newId = (): string => v7();

/** An event's id: the decimal text of its number in the log, below 2^53. */
export const eventId = z.string().regex(/^(0|[1-9]\d{0,15})$/, 'must be the id of an event');

/** RFC 3339 in UTC, with milliseconds. */
export const instant = z
  .string()
  .regex(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/)
  .meta({ format: 'date-time' });

/** Whole bytes as a JSON number, up to 2^53−1. The format is what makes it the scalar `Bytes` in GraphQL, whose Int has 32 bits. */
export const bytes = z.int().nonnegative().max(Number.MAX_SAFE_INTEGER).meta({ format: 'int64' });

/**
 * A name that people give. It never becomes a path, yet no control character is let in: it would reach
 * configuration files, logs and terminals. A leading `-` could be read as an option.
 */
export const objectName = z
  .string()
  .min(1)
  .max(128)
  .regex(
    /^[\p{L}\p{N}][\p{L}\p{N} ._+@()-]*$/u,
    'letters, digits, space and ._+@()- ; the first a letter or digit',
  );

/** A path inside a storage repository. The agent confines it once more, against symbolic links and races. */
export const repositoryPath = z.string().min(1).max(1024);

/** Text without control characters, for kernel command lines and the like: a newline would start another line of a configuration file. */
export const oneLine = (max: number) =>
  z
    .string()
    .max(max)
    .regex(/^[^\p{Cc}]*$/u, 'must not hold control characters');
