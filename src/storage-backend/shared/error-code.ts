/** The code of an operating system's error (`ENOENT`), if it is one. Not by `instanceof`: Node's own errors are of another realm under jest. */
export function errorCode(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}
