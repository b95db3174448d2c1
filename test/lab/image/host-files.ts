export type HostFile =
  | { readonly path: string; readonly mode: number; readonly text: string }
  | { readonly path: string; readonly to: string }
  | { readonly path: string; readonly folder: number };

const file = (path: string, text: string, mode = 0o644): HostFile => ({ path, mode, text });
const lines = (...all: string[]): string => `${all.join('\n')}\n`;
/** What packages' scripts would have added; none of those scripts runs. The groups are those of udev's rules. */
const users = ['sshd:101:65534'];
const groups = ['input:101', 'sgx:102', 'kvm:103', 'render:104', 'systemd-journal:999'];

/**
 * What the lab itself lays into a host's root file system, over the packages. `masters` are Debian's own first users and
 * groups, from base-passwd.
 */
export function hostFiles(masters: { passwd: string; group: string }): HostFile[] {
  return [
    file(
      'etc/passwd',
      lines(
        masters.passwd.trimEnd().replaceAll(':*:', ':x:'),
        ...users.map((user) => `${user.replace(':', ':x:')}::/run/sshd:/usr/sbin/nologin`),
      ),
    ),
    file('etc/group', lines(masters.group.trimEnd(), ...groups.map((one) => `${one.replace(':', ':x:')}:`))),
    // Nobody has a password: the ways in are the console and the key of this run.
    file('etc/shadow', 'root:*:19000:0:99999:7:::\n', 0o600),
    file('etc/hosts', '127.0.0.1 localhost\n'),
    file('etc/fstab', '/dev/vda / ext4 defaults 0 0\n'),
    file(
      'etc/ssh/sshd_config',
      lines(
        'HostKey /etc/ssh/ssh_host_ed25519_key',
        'PermitRootLogin prohibit-password',
        'PasswordAuthentication no',
        'UsePAM no',
        'UseDNS no',
        'MaxSessions 64',
        'ClientAliveInterval 0',
        'Subsystem sftp /usr/lib/openssh/sftp-server',
        'SetEnv PATH=/usr/sbin:/usr/bin:/usr/lib/domus-lab',
      ),
    ),
    // With monitoring a snapshot waits minutes for a dmeventd.
    file('etc/lvm/lvmlocal.conf', 'activation { monitoring = 0 }\n'),
    file('etc/xen/xl.conf', 'autoballoon="off"\nvif.default.bridge="xenbr0"\n'),
    { path: 'usr/bin/awk', to: 'mawk' },
    { path: 'usr/bin/which', to: 'which.debianutils' },
    { path: 'opt/domus/node_modules/.bin/node', to: '/usr/bin/node' },
    ...['proc', 'sys', 'dev', 'run', 'mnt', 'root/.ssh', 'etc/domus', 'etc/domus-lab', 'var/lib/xen'].map(
      (path): HostFile => ({ path, folder: path.startsWith('root') || path === 'etc/domus' ? 0o700 : 0o755 }),
    ),
    { path: 'tmp', folder: 0o1777 },
    { path: 'var/run', to: '/run' },
    { path: 'var/lock', to: '/run/lock' },
  ];
}
