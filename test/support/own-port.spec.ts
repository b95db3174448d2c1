import { connect, createServer } from 'node:net';
import { once } from 'node:events';
import { outside, ownPort } from './own-port.js';

it('lies where the kernel lets no connection leave from by itself, whichever part is larger', () => {
  expect(outside('32768\t60999\n')).toEqual([10_000, 22_768]);
  expect(outside('10240 30000')).toEqual([30_001, 35_535]);
  expect(() => outside('1024 65535')).toThrow(/every port/);
});

it('is given once while its owner lives, and is free for the program that it is for', async () => {
  const ports = await Promise.all(Array.from({ length: 50 }, ownPort));
  expect(new Set(ports).size).toBe(50);
  for (const port of ports) {
    const program = createServer((socket) => socket.end());
    program.listen(port, '127.0.0.1');
    await once(program, 'listening');
    const client = connect(port, '127.0.0.1');
    await once(client, 'connect');
    client.destroy();
    program.close();
    await once(program, 'close');
  }
});
