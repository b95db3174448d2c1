/** How an operation uses an object. */
export type LockMode = 'shared' | 'exclusive';

export interface LockRequest {
  readonly type: string;
  readonly id: string;
  readonly mode: LockMode;
}

export const exclusive = (type: string, id: string): LockRequest => ({ type, id, mode: 'exclusive' });
export const shared = (type: string, id: string): LockRequest => ({ type, id, mode: 'shared' });

/** The one compatibility table: may `asked` be granted while another operation holds `held`? */
export const compatible: Readonly<Record<LockMode, Readonly<Record<LockMode, boolean>>>> = {
  shared: { shared: true, exclusive: false },
  exclusive: { shared: false, exclusive: false },
};

const modes = Object.keys(compatible) as LockMode[];

/** The table as SQL, so that there is no second one: true where the two modes cannot stand together. */
export const incompatibleSql = (asked: string, held: string): string =>
  `(${asked}, ${held}) in (${modes
    .flatMap((a) => modes.filter((h) => !compatible[a][h]).map((h) => `('${a}', '${h}')`))
    .join(', ')})`;

/** One request an object, the stronger mode of several, in the one order in which everybody takes locks. */
export function inLockingOrder(requests: readonly LockRequest[]): LockRequest[] {
  const byObject = new Map<string, LockRequest>();
  for (const request of requests) {
    const key = lockKey(request);
    const known = byObject.get(key);
    if (!known || (known.mode === 'shared' && request.mode === 'exclusive')) byObject.set(key, request);
  }
  return [...byObject.entries()].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, request]) => request);
}

export const lockKey = (object: { readonly type: string; readonly id: string }): string =>
  `${object.type}:${object.id}`;
