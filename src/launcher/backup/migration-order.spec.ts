import { migrations } from '../../../migrations/index.js';

describe('the migrations', () => {
  it('stand in the order of their times, in which they run: a backup names those that its database had', () => {
    const times = migrations.map(({ name }) => Number(/\d{14}$/.exec(name)?.[0]));
    expect(times).toEqual([...times].sort((a, b) => a - b));
    expect(new Set(times).size).toBe(times.length);
  });
});
