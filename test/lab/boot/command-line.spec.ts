import { commandLine, type MachineSpec } from './command-line.js';

const spec: MachineSpec = {
  name: 'xen-1',
  kind: 'xen',
  systemd: false,
  memoryMiB: 1408,
  number: 1,
  image: { xen: '/c,1/xen.bin', kernel: '/c,1/vmlinuz' },
  files: {
    initrd: '/l/initrd',
    rootOverlay: '/l/root.qcow2',
    dataDisk: '/l/data.raw',
    serialSocket: '/l/tty',
    serialLog: '/l/console.log',
  },
  ports: { ssh: 4001, agent: 4002 },
  enrolCommand: ['/n/node', '/p/enrol-way.mjs', '/d/server.json'],
  lan: null,
};
const after = (words: string[], option: string) =>
  words.flatMap((word, index) => (words[index - 1] === option ? [word] : []));

describe('the command line of a lab host', () => {
  it('listens on the loopback alone, and lets the host reach nothing else', () => {
    const words = commandLine(spec);
    const [net = ''] = after(words, '-netdev');
    expect(net).toContain('restrict=on');
    expect(net.match(/hostfwd=tcp:[^,]+/g)).toEqual([
      'hostfwd=tcp:127.0.0.1:4001-10.0.2.15:22',
      'hostfwd=tcp:127.0.0.1:4002-10.0.2.15:8444',
    ]);
    expect(words.join(' ')).not.toMatch(/0\.0\.0\.0|-vnc|-monitor/);
  });

  it('boots Xen with the kernel and its words as the first module', () => {
    const words = commandLine(spec);
    expect(after(words, '-kernel')).toEqual(['/c,1/xen.bin']);
    expect(after(words, '-append')[0]).toContain('dom0_mem=704M,max:704M');
    expect(after(words, '-initrd')[0]).toMatch(/^\/c,,1\/vmlinuz console=hvc0 .*,\/l\/initrd$/);
  });

  it('boots the same disk without Xen', () => {
    const words = commandLine({ ...spec, kind: 'plain', systemd: true });
    expect(after(words, '-kernel')).toEqual(['/c,1/vmlinuz']);
    expect(after(words, '-append')[0]).toMatch(/console=ttyS0 .*lab\.systemd$/);
  });

  it('never trusts a KVM, and takes from the processor what harms dom0 and PVH guests under emulation', () => {
    const words = commandLine(spec);
    expect(after(words, '-accel')[0]).toMatch(/^tcg,/);
    expect(after(words, '-cpu')).toEqual(['max,-smap,-rdtscp,-xsave,-avx,-avx2,-fma,-f16c,-vaes']);
  });

  it('joins the hosts over sockets: the first one holds the hub', () => {
    const first = after(commandLine({ ...spec, lan: { listen: ['/l/a', '/l/b'] } }), '-netdev');
    expect(first.filter((one) => one.startsWith('stream'))).toHaveLength(2);
    expect(first.at(-1)).toBe('hubport,id=lan,hubid=0');
    const other = after(commandLine({ ...spec, number: 2, lan: { connect: '/l/a' } }), '-netdev');
    expect(other.at(-1)).toBe('stream,id=lan,server=off,addr.type=unix,addr.path=/l/a');
  });
});
