interface Turn {
  readonly controller: AbortController;
  /** Resolves when the work has really stopped, however it ended and whether or not anybody still waits. */
  readonly settled: Promise<void>;
}

interface Lane {
  running: Turn | null;
  overtakers: number;
  queue: { begin: () => void; refuse: (reason: Error) => void }[];
}

/** What an overtaker finds: the signal of the overtaken work is aborted; `settled` says when that work has stopped. */
export interface Overtaken {
  readonly settled: Promise<void>;
}

/** Lets one piece of work at a time go on per key, in the order of asking; and lets an urgent one go past all of it. */
export class Turns {
  private readonly lanes = new Map<string, Lane>();

  /**
   * Waits for its turn. Rejects with the overtaker's reason as soon as one comes, even if `work` then still hangs; and with
   * the reason of `withdrawn` if it is aborted while the turn has not come.
   */
  take<T>(key: string, work: (signal: AbortSignal) => Promise<T>, withdrawn?: AbortSignal): Promise<T> {
    const lane = this.lane(key);
    return new Promise<T>((resolve, reject) => {
      const begin = () => {
        const controller = new AbortController();
        const doing = work(controller.signal);
        const turn: Turn = {
          controller,
          settled: doing.then(
            () => undefined,
            () => undefined,
          ),
        };
        lane.running = turn;
        controller.signal.addEventListener('abort', () => reject(controller.signal.reason as Error));
        doing.then(resolve, reject);
        void turn.settled.then(() => this.leave(key, lane, turn));
      };
      const waiting = { begin, refuse: reject };
      lane.queue.push(waiting);
      const leave = () => {
        const place = lane.queue.indexOf(waiting);
        if (place < 0) return;
        lane.queue.splice(place, 1);
        reject(withdrawn?.reason as Error);
      };
      withdrawn?.addEventListener('abort', leave, { once: true });
      this.pump(key, lane);
    });
  }

  /**
   * Runs `work` at once. What runs is aborted and what waits is refused, both with `reason`; nothing else begins on
   * the key until `work` is over. It is for `work` to wait until the overtaken has stopped, for as long as it dares.
   */
  async overtake<T>(
    key: string,
    reason: Error,
    work: (overtaken: Overtaken | null) => Promise<T>,
  ): Promise<T> {
    const lane = this.lane(key);
    const overtaken = lane.running;
    overtaken?.controller.abort(reason);
    for (const one of lane.queue.splice(0)) one.refuse(reason);
    lane.overtakers += 1;
    try {
      return await work(overtaken);
    } finally {
      lane.overtakers -= 1;
      if (overtaken && lane.running === overtaken) lane.running = null;
      this.pump(key, lane);
    }
  }

  private lane(key: string): Lane {
    let lane = this.lanes.get(key);
    if (!lane) this.lanes.set(key, (lane = { running: null, overtakers: 0, queue: [] }));
    return lane;
  }

  private leave(key: string, lane: Lane, turn: Turn): void {
    if (lane.running === turn) lane.running = null;
    this.pump(key, lane);
  }

  private pump(key: string, lane: Lane): void {
    if (lane.running || lane.overtakers > 0) return;
    const next = lane.queue.shift();
    if (next) next.begin();
    else if (this.lanes.get(key) === lane) this.lanes.delete(key);
  }
}
