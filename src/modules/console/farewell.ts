/**
 * How a console connection ends: the code and the reason of the WebSocket's close frame. Clients act on the code, so
 * one is never given another meaning; 4000 and up are ours (RFC 6455 §7.4.2).
 */
export interface Farewell {
  readonly code: number;
  readonly reason: string;
}

export const farewell = {
  /** The client closed first; nothing is left to say. */
  byClient: { code: 1000, reason: 'closed' },
  serverStops: { code: 1001, reason: 'the server stops; ask for another session' },
  notBinary: { code: 1003, reason: 'binary frames are the bytes; text frames have no meaning here' },
  serverFault: { code: 1011, reason: 'something unexpected happened' },
  guestEnded: { code: 4000, reason: 'the guest has ended' },
  hostAway: { code: 4001, reason: 'the agent of the host does not answer; the guest may run on' },
  lineLost: { code: 4002, reason: 'the line to the guest was lost; ask for another session' },
} as const satisfies Record<string, Farewell>;
