/** What goes into a host of the lab. A change here builds a new image: the key of the cache is made of it. */

/** A Debian that runs a hypervisor, and no more. Their dependencies come with them. */
export const packages: readonly string[] = [
  ...['base-files', 'base-passwd', 'bash', 'coreutils', 'dash', 'debianutils', 'diffutils', 'findutils'],
  ...['grep', 'gzip', 'hostname', 'libc-bin', 'login', 'mawk', 'mount', 'ncurses-base', 'ncurses-bin'],
  ...['bsdutils', 'perl-base', 'procps', 'sed', 'tar', 'util-linux', 'usr-is-merged'],
  ...['systemd', 'systemd-sysv', 'udev', 'kmod', 'e2fsprogs', 'iproute2', 'bridge-utils', 'socat'],
  ...['openssh-server', 'lvm2', 'thin-provisioning-tools', 'libstdc++6'],
  ...['xenstore-utils', 'qemu-system-xen', 'qemu-system-x86', 'qemu-utils'],
];

/** Needed by what is above on paper only: a sound library's codes of all countries, the debconf of scripts that never run. */
export const leftOut: readonly string[] = ['iso-codes', 'perl-modules-5.36', 'adduser', 'ucf', 'debconf'];

/** What no program of a host reads. */
export const excluded: readonly string[] = [
  ...['doc', 'man', 'info', 'locale', 'lintian', 'bash-completion', 'zoneinfo', 'alsa', 'bug'].map(
    (name) => `./usr/share/${name}/*`,
  ),
  // Firmware of machines that the lab never plays.
  ...['*.fd', 'openbios*', 'skiboot*', 'slof*', 'u-boot*', 'opensbi*', 'palcode*', 's390*', 'hppa*'].map(
    (name) => `./usr/share/qemu/${name}`,
  ),
  './usr/lib/x86_64-linux-gnu/gstreamer-1.0/*',
];

/** The kernel's modules that a host may load, as globs below `kernel/`. All of them would be 300 MB. */
export const moduleGlobs: readonly string[] = [
  ...['drivers/xen/**', 'drivers/block/**', 'drivers/md/**', 'drivers/virtio/**', 'drivers/dax/**'],
  ...[
    'drivers/net/xen-netback/**',
    'drivers/net/xen-netfront.ko',
    'drivers/net/tun.ko',
    'drivers/net/veth.ko',
    'drivers/net/virtio_net.ko',
  ],
  ...['drivers/net/net_failover.ko', 'drivers/char/hw_random/virtio-rng.ko', 'net/core/**'],
  ...['net/bridge/**', 'net/802/**', 'net/8021q/**', 'net/llc/**', 'net/netfilter/**'],
  ...['net/ipv4/netfilter/**', 'net/sched/**', 'fs/ext4/**', 'fs/jbd2/**', 'fs/mbcache.ko'],
  ...['fs/fuse/**', 'fs/configfs/**', 'lib/**', 'crypto/**', 'arch/x86/crypto/**'],
];

/** Loaded before there is a root file system. */
export const initrdModules: readonly string[] = ['virtio_pci', 'virtio_blk', 'crc32c_generic', 'ext4'];

/** Beyond what the files take: guests' disks, logs, the agent's journal. */
export const freeMiB = 700;
