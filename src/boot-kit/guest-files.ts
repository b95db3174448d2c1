import { type ArchiveEntry } from './newc-archive.js';

/** Loaded at boot where the kernel has them as modules: disks, cards (of QEMU and of Xen), the word to the hypervisor on a panic, and the power button (ACPI, or GPIO on arm64). */
export const WANTED_MODULES = [
  'virtio_pci',
  'virtio_mmio',
  'virtio_blk',
  'virtio_net',
  'virtio_balloon',
  'virtio_console',
  'virtio_rng',
  'virtio_scsi',
  'sd_mod',
  'xen_blkfront',
  'xen_netfront',
  'ext4',
  'pvpanic_pci',
  'button',
  'gpio_pl061',
  'gpio_keys',
  'evdev',
] as const;

const INIT = `#!/bin/sh
# Process 1 of the guest. Whoever waits for it looks for the line GUEST-READY, then for the prompt.
export PATH=/sbin:/bin HOME=/ TERM=vt100
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts && mount -t devpts pts /dev/pts
line=console
for tty in ttyS0 ttyAMA0 hvc0; do
  # A line that no hardware stands behind opens, but refuses to be set.
  if stty -F /dev/$tty >/dev/null 2>&1; then
    line=$tty
    exec </dev/$tty >/dev/$tty 2>&1
    stty cols 80 rows 24 # a serial line does not tell its size
    break
  fi
done
dmesg -n 4
while read -r module; do insmod /lib/modules/$module 2>/dev/null; done </lib/modules/order
ip link set lo up
acpid -l /dev/null 2>/dev/null
if [ -e /sys/class/net/eth0 ]; then
  ip link set eth0 up
  udhcpc -i eth0 -b -s /etc/udhcpc.sh >/dev/null 2>&1 &
fi
read -r up rest </proc/uptime
echo "GUEST-READY kernel=$(uname -r) cpus=$(nproc) uptime=$up"
if grep -qw ticker /proc/cmdline; then
  (i=0; while :; do i=$((i + 1)); echo "tick $i"; sleep 1; done) &
fi
# busybox's own poweroff, halt and reboot tell process 1 by these signals. The shell runs beside us, for a trap has to
# wait for what runs in front; it comes back when it is left, since process 1 must never end.
trap '/sbin/poweroff' USR2
trap '/sbin/halt' USR1
trap '/sbin/reboot' TERM
while :; do
  setsid -c sh </dev/$line >/dev/$line 2>&1 &
  wait $!
done
`;

const UDHCPC = `#!/bin/sh
[ "$1" = bound ] || [ "$1" = renew ] || exit 0
ip addr flush dev "$interface"
ip addr add "$ip/$mask" dev "$interface"
[ -n "$router" ] && ip route replace default via "\${router%% *}"
: >/etc/resolv.conf
for server in $dns; do echo "nameserver $server" >>/etc/resolv.conf; done
`;

const script = (path: string, text: string): ArchiveEntry => ({
  path,
  kind: 'file',
  mode: 0o755,
  data: Buffer.from(text),
});
/** Process 1 is a script that ends nothing in order, so ending the machine goes straight to the kernel. */
const ending = (verb: string): ArchiveEntry =>
  script(`sbin/${verb}`, `#!/bin/sh\necho GUEST-${verb.toUpperCase()}\nsync\nexec /bin/busybox ${verb} -f\n`);

export interface GuestParts {
  readonly busybox: Uint8Array;
  /** The names of busybox's own commands. */
  readonly applets: readonly string[];
  /** In load order. */
  readonly modules: readonly { readonly name: string; readonly data: Uint8Array }[];
}

/** The whole root file system of the guest. */
export function guestFiles({ busybox, applets, modules }: GuestParts): ArchiveEntry[] {
  const own = new Set(['poweroff', 'reboot', 'halt', 'busybox']);
  return [
    ...['proc', 'sys', 'dev', 'mnt', 'root', 'run'].map((path): ArchiveEntry => ({
      path,
      kind: 'folder',
      mode: 0o755,
    })),
    { path: 'tmp', kind: 'folder', mode: 0o1777 },
    // The kernel opens it for process 1 before devtmpfs is there.
    { path: 'dev/console', kind: 'device', mode: 0o600, major: 5, minor: 1 },
    { path: 'bin/busybox', kind: 'file', mode: 0o755, data: busybox },
    ...applets
      .filter((name) => /^[A-Za-z0-9[_.-]+$/.test(name) && !own.has(name))
      .map((name): ArchiveEntry => ({ path: `bin/${name}`, kind: 'link', to: 'busybox' })),
    ...modules.map(({ name, data }): ArchiveEntry => ({
      path: `lib/modules/${name}.ko`,
      kind: 'file',
      mode: 0o644,
      data,
    })),
    {
      path: 'lib/modules/order',
      kind: 'file',
      mode: 0o644,
      data: Buffer.from(modules.map(({ name }) => `${name}.ko\n`).join('')),
    },
    script('init', INIT),
    script('etc/udhcpc.sh', UDHCPC),
    script('etc/acpi/PWRF/00000080', '#!/bin/sh\nexec /sbin/poweroff\n'),
    ending('poweroff'),
    ending('reboot'),
    ending('halt'),
  ];
}
