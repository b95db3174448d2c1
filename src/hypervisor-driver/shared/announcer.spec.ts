import { Announcer } from './announcer.js';

describe('the last word on a domain', () => {
  const NOON = Date.parse('2026-01-01T12:00:00.000Z');
  const at = (ms: number) => new Date(NOON + ms).toISOString();
  const seen = (state: 'running' | 'paused' | 'crashed', generation = 1) => ({
    id: 'd',
    generation,
    state,
    pid: 1,
    reason: null,
  });

  it('never goes back in time within a generation, though the clock be set back', () => {
    let now = NOON;
    const announcer = new Announcer(() => new Date(now));
    expect(announcer.see(seen('running')).since).toBe(at(0));
    now -= 30_000;
    expect(announcer.see(seen('paused')).since).toBe(at(0));
    expect(announcer.see(seen('crashed'), at(-10_000)).since).toBe(at(0));
    now += 31_000;
    expect(announcer.see(seen('running')).since).toBe(at(1_000));
  });

  it('is dated by the clock as it is when a new generation begins', () => {
    let now = NOON;
    const announcer = new Announcer(() => new Date(now));
    announcer.see(seen('crashed'));
    now -= 30_000;
    expect(announcer.see(seen('running', 2)).since).toBe(at(-30_000));
  });
});
