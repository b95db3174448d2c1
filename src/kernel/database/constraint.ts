/** True when a statement failed because of this constraint or unique index. The naming strategy gives them names that can be relied on. */
export function violates(error: unknown, constraint: string): boolean {
  if (!(error instanceof Error)) return false;
  const driver: unknown = Reflect.get(error, 'driverError');
  const source = typeof driver === 'object' && driver !== null ? driver : error;
  return Reflect.get(source, 'constraint') === constraint;
}
