import { byLoad, type Room } from './placement.js';

const room = (hostName: string, freeBytes: number, memoryBytes: number): Room => ({
  hostId: hostName,
  hostName,
  hostEpoch: 1,
  simulated: true,
  memoryBytes,
  freeBytes,
});

describe('placement', () => {
  it('takes the host with the largest share of its memory free, not the largest host', () => {
    const rooms = [room('large', 40, 100), room('small', 9, 10)];
    expect(rooms.sort(byLoad).map((each) => each.hostName)).toEqual(['small', 'large']);
  });

  it('breaks ties by name, so that a plan can be repeated', () => {
    const rooms = [room('b', 5, 10), room('a', 5, 10)];
    expect(rooms.sort(byLoad).map((each) => each.hostName)).toEqual(['a', 'b']);
  });
});
