import { qmpSocketOf, relocate } from './bare-qemu.js';

const id = '0190d1c5-0000-7000-8000-000000000001';
const argv = [
  'qemu-system-x86_64',
  ...['-uuid', id, '-chardev', `socket,id=qmp,path=/run/d,,x/${id}.qmp,server=on,wait=off`],
  ...['-mon', 'chardev=qmp,mode=control', '-kernel', `/srv/${id}/vmlinuz`],
  ...[
    '-chardev',
    `socket,id=console0,path=/run/${id}.c0,server=on,logfile=/d/${id}/console.log,logappend=on`,
  ],
];

describe('the same guest by hand', () => {
  it('has its sockets and logs elsewhere and is otherwise the same', () => {
    const other = '0190d1c5-0000-7000-8000-00000000000f';
    const moved = relocate(argv, other, '/tmp/b');
    expect(moved).toHaveLength(argv.length);
    expect(moved[4]).toBe(`socket,id=qmp,path=/tmp/b/${id}.qmp,server=on,wait=off`);
    expect(moved.at(-1)).toBe(
      `socket,id=console0,path=/tmp/b/${id}.c0,server=on,logfile=/tmp/b/console.log,logappend=on`,
    );
    expect(moved[2]).toBe(other);
    expect(moved[8]).toBe(`/srv/${id}/vmlinuz`);
  });

  it('is spoken to on the socket that its arguments name', () => {
    expect(qmpSocketOf(argv)).toBe(`/run/d,x/${id}.qmp`);
    expect(() => qmpSocketOf(['-chardev', 'socket,id=serial,path=/x'])).toThrow('no control socket');
  });
});
