import { type Role } from './signals.js';
import { type Stage } from './stage.js';
import { type Way } from './ways.js';

/** What somebody does while an operation stands; calls `arm` once. */
export type Meanwhile = (stage: Stage, targetId: string, arm: () => void) => Promise<unknown>;

export interface Place {
  readonly kind: string;
  readonly role: Role;
  readonly point: string;
  /** Whose operation stands there, if not the one of the way's target. */
  readonly of?: (targetId: string) => string;
}

/** Asks for something, which stands at a point until `meanwhile` is over. */
export const whileItStands =
  (
    request: (stage: Stage, targetId: string) => Promise<unknown>,
    { kind, role, point, of = (id) => id }: Place,
    meanwhile: Meanwhile,
  ): Way['ask'] =>
  async (stage, id, arm) => {
    const held = stage.lay(of(id), kind, role, point, 'hold');
    try {
      await request(stage, id);
      await stage.hit(held);
      await meanwhile(stage, id, arm);
    } finally {
      stage.release(held);
    }
  };

/** Takes the newest operation of this kind back. Whether that came in time is seen by what it came to. */
export const cancel =
  (kind: string): Meanwhile =>
  async (stage, id, arm) => {
    const operationId = await stage.newest(kind, id);
    arm();
    await stage.cancelled(operationId);
  };

/** Where it is too late for that, and said so. */
export const cancelInVain =
  (kind: string): Meanwhile =>
  async (stage, id, arm) => {
    const operationId = await stage.newest(kind, id);
    arm();
    if (await stage.cancelled(operationId))
      throw new Error(`${kind} was cancelled past its point of no return.`);
  };
