import { type Act, type Crossing, type Role } from './signals.js';
import { type Way } from './ways.js';

/** One way, hurt once at one point. */
export interface Case {
  /** `domain.start/agent/agent.after-begin:start-guest/kill`. */
  readonly name: string;
  readonly way: Way;
  readonly role: Role;
  readonly point: string;
  readonly act: Act;
}

/** What a way was seen to pass while nothing was hurt. */
export interface Recorded {
  readonly way: Way;
  readonly points: readonly { readonly role: Role; readonly point: string }[];
}

/** Where something is on its way between two processes, and may get lost or come twice. */
const messages: Readonly<Record<string, readonly Act[]>> = {
  'accept.answer': ['drop'],
  'relay.before-publish': ['drop', 'duplicate'],
  'relay.after-publish': ['drop'],
  'queue.delivered': ['drop', 'duplicate'],
  'agent.received': ['drop', 'duplicate'],
  'agent.reply': ['drop', 'duplicate'],
};

/** Where it lies in the queue, and a Redis may forget it. */
const queued: Readonly<Record<string, readonly Act[]>> = {
  'relay.after-publish': ['flush'],
  'queue.delivered': ['flush'],
  'claim.after': ['flush'],
};

/** The points that operations of the way's kind passed on this object since `from`, each once. */
export function pointsOf(way: Way, targetId: string, from: number, crossings: readonly Crossing[]): Recorded {
  const points = new Map<string, { role: Role; point: string }>();
  for (const { kind, at, role, point, targetId: passed } of crossings)
    if (passed === targetId && kind === way.kind && at >= from)
      points.set(`${role}/${point}`, { role, point });
  return { way, points: [...points.values()] };
}

/** Every recorded point with everything that can befall it there. */
export const casesOf = (recorded: readonly Recorded[], queue: 'postgres' | 'redis' = 'postgres'): Case[] =>
  recorded.flatMap(({ way, points }) =>
    points.flatMap(({ role, point }) => {
      const name = point.split(':')[0] ?? '';
      const acts: Act[] = ['kill', 'pause', ...(messages[name] ?? [])];
      if (queue === 'redis') acts.push(...(queued[name] ?? []));
      return acts.map((act) => ({ name: `${way.name}/${role}/${point}/${act}`, way, role, point, act }));
    }),
  );

/** `--only`: the words between the slashes, where a missing one, `*` or the end of a point's name matches any. Several by commas. */
export const matches = (name: string, only: string): boolean =>
  only.split(',').some((pattern) => matchesOne(name, pattern));

function matchesOne(name: string, pattern: string): boolean {
  const [way, role, point = '', act] = name.split('/');
  const [wantedWay, wantedRole = '*', wantedPoint = '*', wantedAct = '*'] = pattern.split('/');
  const is = (word: string | undefined, wanted: string | undefined) => wanted === '*' || word === wanted;
  const short = (text: string) => text.replace(/^[a-z-]+\./, '').replace(/:.*$/, '');
  return (
    is(way, wantedWay) &&
    is(role, wantedRole) &&
    is(act, wantedAct) &&
    (is(point, wantedPoint) || point.split(':')[0] === wantedPoint || short(point) === wantedPoint)
  );
}
