/** The guests whose shape and states are recorded, as xl is told of them. Written by hand, so that they stay what they are. */

const kernel =
  'kernel="/var/lib/domus-lab/guest/vmlinuz"\nramdisk="/var/lib/domus-lab/guest/initramfs.cpio.gz"';
const config = (name: string, type: 'pv' | 'pvh', words: string, ...lines: string[]): string =>
  `${[
    `name="${name}"`,
    `type="${type}"`,
    kernel,
    `cmdline="console=hvc0 quiet ${words}"`,
    'memory=128',
    'vcpus=1',
    ...lines,
  ].join('\n')}\n`;

export const runningPv = config(
  'pv-running',
  'pv',
  '',
  'uuid="01980000-0000-7000-8000-000000000001"',
  'maxmem=192',
  'maxvcpus=2',
  'disk=["format=raw,vdev=xvda,access=rw,backendtype=phy,target=/dev/vg0/d1"]',
  'vif=["mac=00:16:3e:00:00:01,bridge=xenbr0"]',
);

export const runningPvh = config(
  'pvh-running',
  'pvh',
  '',
  'uuid="01980000-0000-7000-8000-000000000002"',
  'disk=["format=qcow2,vdev=xvda,access=rw,backendtype=qdisk,target=/var/lib/domus-lab/d2.qcow2","format=raw,vdev=xvdb,access=ro,backendtype=phy,target=/dev/vg0/d2"]',
  'vif=["mac=00:16:3e:00:00:02,bridge=xenbr0","mac=00:16:3e:00:00:03,bridge=xenbr0,vifname=second"]',
);

export const pausedPvh = config('pvh-paused', 'pvh', '');
export const shutDownPv = config('pv-shutdown', 'pv', '', 'on_poweroff="preserve"');
export const crashedPvh = config('pvh-crashed', 'pvh', 'panic=0', 'on_crash="preserve"');

/** What `xl -N create` is asked to print, beyond the two above: each says something that the others do not. */
export const dryRuns: Readonly<Record<string, string>> = {
  'pv-disk-and-card': runningPv,
  'pvh-disks-and-cards': runningPvh,
  'pvh-least': config('least', 'pvh', ''),
  'pvh-policies': config(
    'policies',
    'pvh',
    '',
    'on_poweroff="preserve"',
    'on_reboot="destroy"',
    'on_watchdog="destroy"',
    'on_crash="preserve"',
    'on_soft_reset="destroy"',
    'max_event_channels=4096',
    'max_grant_frames=64',
    'max_maptrack_frames=1024',
    'cpu_weight=512',
    'cap=50',
    'cpus="0"',
    'nomigrate=1',
  ),
  'hvm-firmware': [
    'name="hvm-firmware"',
    'type="hvm"',
    'memory=256',
    'vcpus=2',
    'boot="cd"',
    'serial="pty"',
    'vnc=1',
    'vnclisten="127.0.0.1"',
    'vncunused=1',
    'usbdevice="tablet"',
    'disk=["format=qcow2,vdev=hda,access=rw,target=/var/lib/domus-lab/d2.qcow2"]',
    '',
  ].join('\n'),
};

/** Calls that Xen refuses: the words and codes that the driver has to understand. */
export const refusedConfigs: Readonly<Record<string, string>> = {
  'not a config': 'name="broken\nthis is [ no config\n',
  'unknown type': 'name="broken"\ntype="pvx"\nmemory=64\n',
  'no name': 'type="pvh"\nmemory=64\n',
  'no kernel and no firmware': 'name="broken"\ntype="pvh"\nmemory=64\n',
  'kernel file missing': 'name="broken"\ntype="pvh"\nkernel="/nothing/vmlinuz"\nmemory=64\n',
  'kernel that is none': 'name="broken"\ntype="pvh"\nkernel="/etc/passwd"\nmemory=64\n',
  'more memory than there is': config('broken', 'pvh', '').replace('memory=128', 'memory=100000'),
  'volume missing': config(
    'broken',
    'pvh',
    '',
    'disk=["format=raw,vdev=xvda,access=rw,target=/dev/vg0/none"]',
  ),
  'image file missing': config(
    'broken',
    'pvh',
    '',
    'disk=["format=qcow2,vdev=xvda,access=rw,backendtype=qdisk,target=/none.qcow2"]',
  ),
  'disk that is not understood': config('broken', 'pvh', '', 'disk=["format=vmdk,vdev=xvda,target=/x"]'),
  'bridge missing': config('broken', 'pvh', '', 'vif=["mac=00:16:3e:00:00:09,bridge=none0"]'),
  'name taken': runningPv.replace('0001"', '0009"').replace(/disk=.*\n|vif=.*\n/g, ''),
  'uuid taken': config('other', 'pvh', '', 'uuid="01980000-0000-7000-8000-000000000001"'),
};

export const refusedCalls: Readonly<Record<string, readonly string[]>> = {
  'list of an unknown domain': ['xl', 'list', 'none'],
  'id of an unknown domain': ['xl', 'domid', 'none'],
  'name of an unknown domain': ['xl', 'domname', '4000'],
  'pause of an unknown domain': ['xl', 'pause', 'none'],
  'unpause of an unknown domain': ['xl', 'unpause', 'none'],
  'shutdown of an unknown domain': ['xl', 'shutdown', 'none'],
  'destroy of an unknown domain': ['xl', 'destroy', 'none'],
  'destroy of dom0': ['xl', 'destroy', '0'],
  'pause of a paused domain': ['xl', 'pause', 'pvh-paused'],
  'unpause of a running domain': ['xl', 'unpause', 'pv-running'],
  'shutdown of a domain in shutdown': ['xl', 'shutdown', 'pv-shutdown'],
  'shutdown of a paused domain': ['xl', 'shutdown', 'pvh-paused'],
  'memory above the maximum': ['xl', 'mem-set', 'pv-running', '4096m'],
  'more processors than may be': ['xl', 'vcpu-set', 'pv-running', '9'],
  'a command that does not exist': ['xl', 'frobnicate'],
  'config file missing': ['xl', 'create', '/none.cfg'],
};
