import { type IncomingMessage, request } from 'node:http';
import { type HistoryWriter } from './history.js';

export interface Heard {
  readonly id: number;
  readonly type: string;
  readonly objectId: string;
  readonly operationId: string | null;
  readonly changes: Readonly<Record<string, unknown>>;
}

const AGAIN_AFTER_MS = 100;
/** The server says something every few seconds; a stream that is silent for longer is given up. */
const SILENCE_MS = 20_000;

/** Follows all events over SSE, from any server, and resumes with the last one's id whenever the stream breaks. */
export class Subscriber {
  private last: number;
  private stopped = false;
  private turn = 0;
  private current: IncomingMessage | undefined;
  private timer: NodeJS.Timeout | undefined;
  breaks = -1;

  /** `after`: the number of the event behind which it begins. */
  constructor(
    private readonly server: { readonly urls: readonly string[]; readonly token: string },
    after: number,
    private readonly history: HistoryWriter,
    private readonly listener: (event: Heard) => void,
  ) {
    this.last = after;
    this.connect();
  }

  get at(): number {
    return this.last;
  }

  stop(): void {
    this.stopped = true;
    clearTimeout(this.timer);
    this.current?.destroy();
  }

  private connect(): void {
    if (this.stopped) return;
    this.breaks += 1;
    const url = this.server.urls[this.turn++ % this.server.urls.length] ?? '';
    let over = false;
    const again = (): void => {
      if (over) return;
      over = true;
      this.timer = setTimeout(() => this.connect(), AGAIN_AFTER_MS);
    };
    const sent = request(`${url}/v1/events`, {
      agent: false,
      headers: {
        authorization: `Bearer ${this.server.token}`,
        accept: 'text/event-stream',
        'last-event-id': String(this.last),
      },
    });
    sent.setTimeout(SILENCE_MS, () => sent.destroy());
    sent.on('error', again);
    sent.on('response', (response) => {
      this.current = response;
      let rest = '';
      response.setEncoding('utf8');
      response.on('error', again);
      response.on('close', again);
      if (response.statusCode !== 200) {
        response.resume();
        return;
      }
      response.on('data', (piece: string) => {
        rest += piece;
        const blocks = rest.split('\n\n');
        rest = blocks.pop() ?? '';
        for (const block of blocks) this.hear(block);
      });
    });
    sent.end();
  }

  private hear(block: string): void {
    const line = block.split('\n').find((one) => one.startsWith('data:'));
    if (!line) return;
    const data = JSON.parse(line.slice(5)) as {
      id: string;
      type: string;
      object: { id: string };
      operationId: string | null;
      changes: Record<string, unknown>;
    };
    const { type, operationId, changes } = data;
    const heard = { id: Number(data.id), type, objectId: data.object.id, operationId };
    this.history.add({ kind: 'event', at: Date.now(), ...heard });
    this.last = heard.id;
    this.listener({ ...heard, changes });
  }
}
