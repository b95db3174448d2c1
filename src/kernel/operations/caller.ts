/** Who asks, as authenticated by a face. It goes into operations, events and the log. */
export interface Caller {
  /** `token:<name>`, later `user:<name>`; `system` for what Domus does of itself. */
  readonly actor: string;
  readonly role: string;
  /** The request header `Domus-Reason`. */
  readonly reason: string | null;
  /** Follows a request through log lines, problems and operations. */
  readonly traceId: string;
}

export const systemCaller = (traceId: string): Caller => ({
  actor: 'system',
  role: 'system',
  reason: null,
  traceId,
});
