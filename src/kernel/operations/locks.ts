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
