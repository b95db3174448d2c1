/**
 * xenstored's wire protocol (Xen's public/io/xs_wire.h): a header of four 32-bit numbers (type, request, transaction,
 * length), then the payload. Numbers are in the machine's own order, which is little-endian wherever Xen runs.
 */
export const packetType = {
  directory: 1,
  read: 2,
  watch: 4,
  unwatch: 5,
  write: 11,
  watchEvent: 15,
  error: 16,
} as const;

export interface Packet {
  readonly type: number;
  readonly requestId: number;
  readonly payload: Buffer;
}

const HEADER_BYTES = 16;
/** xenstored closes the connection of whoever sends more. It sends no more itself. */
export const PAYLOAD_LIMIT_BYTES = 4096;

export function encodePacket({ type, requestId, payload }: Packet): Buffer {
  if (payload.length > PAYLOAD_LIMIT_BYTES)
    throw new Error(`A xenstore request may have ${PAYLOAD_LIMIT_BYTES} bytes, not ${payload.length}.`);
  const packet = Buffer.alloc(HEADER_BYTES + payload.length);
  packet.writeUInt32LE(type, 0);
  packet.writeUInt32LE(requestId, 4);
  packet.writeUInt32LE(0, 8);
  packet.writeUInt32LE(payload.length, 12);
  payload.copy(packet, HEADER_BYTES);
  return packet;
}

/** Cuts what comes from the socket, in pieces of any size, into packets. */
export class PacketReader {
  private held: Buffer = Buffer.alloc(0);

  /** Throws on a length that no xenstored sends: what follows could not be understood any more. */
  push(bytes: Buffer): Packet[] {
    this.held = this.held.length === 0 ? bytes : Buffer.concat([this.held, bytes]);
    const packets: Packet[] = [];
    while (this.held.length >= HEADER_BYTES) {
      const length = this.held.readUInt32LE(12);
      if (length > PAYLOAD_LIMIT_BYTES) throw new Error(`xenstored sent a packet of ${length} bytes.`);
      const end = HEADER_BYTES + length;
      if (this.held.length < end) break;
      packets.push({
        type: this.held.readUInt32LE(0),
        requestId: this.held.readUInt32LE(4),
        payload: Buffer.from(this.held.subarray(HEADER_BYTES, end)),
      });
      this.held = this.held.subarray(end);
    }
    return packets;
  }
}

/** Words as the protocol has them: each ends with a NUL. */
export function encodeWords(...words: readonly string[]): Buffer {
  for (const word of words) if (word.includes('\0')) throw new Error('A word in xenstore has no NUL.');
  return Buffer.from(words.map((word) => `${word}\0`).join(''), 'utf8');
}

export function decodeWords(payload: Buffer): string[] {
  const words = payload.toString('utf8').split('\0');
  if (words.at(-1) === '') words.pop();
  return words;
}
