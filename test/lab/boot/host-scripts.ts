import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type ArchiveEntry } from '../../../src/boot-kit/index.js';
import { projectRoot } from '../../../src/launcher/project-root.js';

const guest = (name: string): string => readFileSync(join(projectRoot, 'test/lab/guest', name), 'utf8');
const shipped = (name: string): string => readFileSync(join(projectRoot, 'packaging', name), 'utf8');
const file = (path: string, text: string, mode = 0o644): ArchiveEntry => ({
  path,
  kind: 'file',
  mode,
  data: Buffer.from(text),
});
const link = (path: string, to: string): ArchiveEntry => ({ path, kind: 'link', to });
const wanted = (unit: string, from: string): ArchiveEntry =>
  link(`etc/systemd/system/multi-user.target.wants/${unit}`, `${from}/${unit}`);

/** How a host of the lab comes up, with systemd and without. Laid over the disk at each boot: a change builds no image. */
export const hostScripts = (): ArchiveEntry[] => [
  file('usr/lib/domus-lab/prepare', guest('prepare'), 0o755),
  file('usr/lib/domus-lab/init', guest('init'), 0o755),
  file('usr/lib/domus-lab/agent', guest('agent'), 0o755),
  file('etc/systemd/system/lab-prepare.service', guest('lab-prepare.service')),
  file('etc/systemd/system/lab-ready.service', guest('lab-ready.service')),
  // The unit that ships, as it ships; only where this run has an agent.
  file('etc/systemd/system/domus-agent.service', shipped('domus-agent.service')),
  file(
    'etc/systemd/system/domus-agent.service.d/lab.conf',
    '[Unit]\nConditionPathExists=/etc/domus/agent.env\nWants=\nAfter=lab-prepare.service\n',
  ),
  link('etc/systemd/system/default.target', '/lib/systemd/system/multi-user.target'),
  link('etc/systemd/system/systemd-networkd-wait-online.service', '/dev/null'),
  link('etc/systemd/system/systemd-firstboot.service', '/dev/null'),
  link('etc/systemd/system/xendomains.service', '/dev/null'),
  link('etc/systemd/system/xen.service', '/dev/null'),
  wanted('lab-prepare.service', '/etc/systemd/system'),
  wanted('lab-ready.service', '/etc/systemd/system'),
  wanted('domus-agent.service', '/etc/systemd/system'),
  wanted('ssh.service', '/lib/systemd/system'),
];
