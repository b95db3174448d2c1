export interface MachineSpec {
  readonly name: string;
  readonly kind: 'xen' | 'plain';
  readonly systemd: boolean;
  readonly memoryMiB: number;
  /** From 1; gives the card on the lab's network its address. */
  readonly number: number;
  /** Files that are only read. */
  readonly image: { readonly xen: string; readonly kernel: string };
  readonly files: {
    /** The image's first root file system with the seed behind it. */
    readonly initrd: string;
    /** This host's own. */
    readonly rootOverlay: string;
    readonly dataDisk: string;
    readonly serialSocket: string;
    readonly serialLog: string;
  };
  /** On 127.0.0.1 of this machine. */
  readonly ports: { readonly ssh: number; readonly agent: number };
  /** Run for each connection to 10.0.2.100:8443 in the host: the way to the enrolment listener. */
  readonly enrolCommand: readonly string[];
  /** Sockets between the hosts; the first host holds the hub. */
  readonly lan: { readonly listen: readonly string[] } | { readonly connect: string } | null;
}

/** Where a host finds the enrolment listener, and where its own agent listens inside. */
export const enrolUrlInside = 'https://10.0.2.100:8443';
export const agentPortInside = 8444;
const ADDRESS_INSIDE = '10.0.2.15';

/** Xen's dom0 gets half of the memory: the rest is for the guests. */
export const dom0MemoryMiB = (memoryMiB: number): number => Math.floor(memoryMiB / 2);

/**
 * QEMU's words for a host of the lab, always emulated (TCG). The processor lacks features on purpose: with SMAP dom0
 * dies at its first system call, with RDTSCP every PVH guest does; with AVX programs of dom0 crash once guests run beside it.
 */
export function commandLine(spec: MachineSpec): string[] {
  const { files, image, ports } = spec;
  const console_ = spec.kind === 'xen' ? 'hvc0' : 'ttyS0';
  const kernelWords = [
    ...[`console=${console_}`, 'mitigations=off', 'quiet', 'net.ifnames=0'],
    ...(spec.systemd ? ['lab.systemd'] : []),
  ].join(' ');
  const forwards = [
    `hostfwd=tcp:127.0.0.1:${ports.ssh}-${ADDRESS_INSIDE}:22`,
    `hostfwd=tcp:127.0.0.1:${ports.agent}-${ADDRESS_INSIDE}:${agentPortInside}`,
    `guestfwd=tcp:10.0.2.100:8443-cmd:${quoted(spec.enrolCommand.join(' '))}`,
  ];
  return [
    ...['-name', spec.name, '-nodefaults', '-display', 'none', '-no-reboot'],
    ...[
      '-M',
      'q35',
      '-accel',
      'tcg,thread=multi,tb-size=512',
      '-cpu',
      'max,-smap,-rdtscp,-xsave,-avx,-avx2,-fma,-f16c,-vaes',
      '-smp',
      '1',
    ],
    ...['-m', String(spec.memoryMiB)],
    ...(spec.kind === 'xen'
      ? xenBoot(spec, kernelWords)
      : ['-kernel', image.kernel, '-append', kernelWords, '-initrd', files.initrd]),
    ...disk('root', files.rootOverlay, 'qcow2'),
    ...disk('data', files.dataDisk, 'raw'),
    // restrict: a host of the lab reaches nothing but what is forwarded here.
    ...['-netdev', ['user', 'id=outside', 'restrict=on', ...forwards].join(',')],
    ...['-device', 'virtio-net-pci,netdev=outside'],
    ...lan(spec),
    ...['-chardev', serial(files)],
    ...['-serial', 'chardev:serial', '-device', 'virtio-rng-pci'],
  ];
}

function xenBoot({ image, files, memoryMiB }: MachineSpec, kernelWords: string): string[] {
  const dom0 = dom0MemoryMiB(memoryMiB);
  return [
    ...['-kernel', image.xen],
    ...['-append', `dom0_mem=${dom0}M,max:${dom0}M com1=115200,8n1 console=com1 noreboot`],
    // Two modules of multiboot, told apart by the comma; the words after the first one's name are the kernel's.
    ...['-initrd', `${quoted(image.kernel)} ${kernelWords},${quoted(files.initrd)}`],
  ];
}

/** QEMU waits for whoever reads the line first, so that not one byte of the boot is missed; the file has them all. */
const serial = ({ serialSocket, serialLog }: MachineSpec['files']): string =>
  `socket,id=serial,path=${quoted(serialSocket)},server=on,wait=on,logfile=${quoted(serialLog)}`;

/** The host is thrown away with its disk, or closed in order: nothing here must survive a power cut. */
const disk = (id: string, file: string, format: string): string[] => [
  ...['-drive', `if=none,id=${id},file=${quoted(file)},format=${format},cache=unsafe`],
  ...['-device', `virtio-blk-pci,drive=${id}`],
];

function lan({ lan: ways, number }: MachineSpec): string[] {
  if (ways === null) return [];
  const card = (netdev: string) => [
    '-device',
    `virtio-net-pci,netdev=${netdev},mac=52:54:00:d0:05:${number.toString(16).padStart(2, '0')}`,
  ];
  if ('connect' in ways)
    return [
      '-netdev',
      `stream,id=lan,server=off,addr.type=unix,addr.path=${quoted(ways.connect)}`,
      ...card('lan'),
    ];
  return [
    ...ways.listen.flatMap((path, index) => [
      ...['-netdev', `stream,id=way${index},server=on,addr.type=unix,addr.path=${quoted(path)}`],
      ...['-netdev', `hubport,id=port${index},hubid=0,netdev=way${index}`],
    ]),
    ...['-netdev', 'hubport,id=lan,hubid=0', ...card('lan')],
  ];
}

/** QEMU reads a doubled comma as one. */
const quoted = (text: string): string => text.replaceAll(',', ',,');
