import { z } from 'zod';

const greeting = z.object({
  QMP: z.object({
    version: z.object({ qemu: z.object({ major: z.int(), minor: z.int(), micro: z.int() }) }),
    capabilities: z.array(z.unknown()),
  }),
});
const event = z.object({
  event: z.string(),
  data: z.record(z.string(), z.unknown()).default({}),
  timestamp: z.object({ seconds: z.number(), microseconds: z.number() }).optional(),
});
const answer = z.object({ return: z.unknown(), id: z.int().optional() });
const failure = z.object({ error: z.object({ class: z.string(), desc: z.string() }), id: z.int().nullish() });

export type QmpMessage =
  | { readonly kind: 'greeting'; readonly version: string }
  | { readonly kind: 'event'; readonly name: string; readonly data: Readonly<Record<string, unknown>> }
  | { readonly kind: 'return'; readonly id: number | undefined; readonly value: unknown }
  | {
      readonly kind: 'error';
      readonly id: number | undefined;
      readonly errorClass: string;
      readonly detail: string;
    };

/** One line of QMP. Null for what is none: QEMU may grow new kinds of messages, and one of them must not end the talk. */
export function parseQmpLine(line: string): QmpMessage | null {
  let raw: unknown;
  try {
    raw = JSON.parse(line);
  } catch {
    return null;
  }
  if (typeof raw !== 'object' || raw === null) return null;
  if ('return' in raw) {
    const parsed = answer.safeParse(raw);
    return parsed.success ? { kind: 'return', id: parsed.data.id, value: parsed.data.return } : null;
  }
  if ('event' in raw) {
    const parsed = event.safeParse(raw);
    return parsed.success ? { kind: 'event', name: parsed.data.event, data: parsed.data.data } : null;
  }
  if ('error' in raw) {
    const parsed = failure.safeParse(raw);
    if (!parsed.success) return null;
    const { error, id } = parsed.data;
    return { kind: 'error', id: id ?? undefined, errorClass: error.class, detail: error.desc };
  }
  const parsed = greeting.safeParse(raw);
  if (!parsed.success) return null;
  const { major, minor, micro } = parsed.data.QMP.version.qemu;
  return { kind: 'greeting', version: `${major}.${minor}.${micro}` };
}
