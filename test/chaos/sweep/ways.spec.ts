import { matches } from './cases.js';
import { cancelledWays } from './cancelled-ways.js';
import { definedOperations } from './definitions.js';
import { doubtfulWays } from './doubtful-ways.js';
import { hostWays } from './host-ways.js';
import { objectWays } from './ways.js';

it('sweeps every kind of operation that is defined', () => {
  const swept = new Set(
    [...objectWays, ...cancelledWays, ...doubtfulWays, ...hostWays].map(({ kind }) => kind),
  );
  const kinds = definedOperations().map(({ kind }) => kind);
  expect(kinds.length).toBeGreaterThan(15);
  expect(kinds.filter((kind) => !swept.has(kind))).toEqual([]);
  expect([...swept].filter((kind) => !kinds.includes(kind))).toEqual([]);
});

it('plays again exactly the cases that are named, with the point in full or in short', () => {
  const name = 'domain.start/agent/agent.after-begin:start-guest/kill';
  for (const same of [
    name,
    'domain.start',
    'domain.start/agent',
    'domain.start/agent/after-begin/kill',
    'domain.start/agent/agent.after-begin/*',
    '*/*/*/kill',
    'domain.pause,domain.start/agent',
  ])
    expect([same, matches(name, same)]).toEqual([same, true]);
  for (const other of [
    'domain.start+cancelled',
    'domain.start/worker',
    'domain.start/agent/after-begin/pause',
    '*/*/after-end',
    'domain.pause,domain.start/worker',
  ])
    expect([other, matches(name, other)]).toEqual([other, false]);
});
