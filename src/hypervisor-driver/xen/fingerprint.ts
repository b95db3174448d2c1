import { type Capability } from '../../agent-contract/index.js';
import { type Fingerprint } from '../driver.js';
import { type Xl } from './xl.js';
import { type XenInfo } from './xl-output.js';

export async function xenFingerprint(xl: Xl): Promise<Fingerprint> {
  const info = await xl.info();
  return {
    hypervisor: { kind: 'xen', version: info.version, accelerator: null, virtCaps: [...info.virtCaps] },
    capabilities: xenCapabilities(info),
  };
}

/** PVH guests want the processor's help (`hvm`) and a way to translate their memory: nested paging, or Xen's shadows. */
export function xenCapabilities({ virtCaps }: Pick<XenInfo, 'virtCaps'>): Capability[] {
  const has = (name: string) => virtCaps.includes(name);
  const pvh = has('hvm') && (has('hap') || has('shadow'));
  return [
    'boot.direct',
    'console.serial',
    'control_domain.adjust',
    'disk.qcow2',
    'disk.raw',
    'domain.pause',
    'domain.shutdown',
    ...(has('pv') ? ['virtualization.pv'] : []),
    ...(pvh ? ['virtualization.pvh'] : []),
  ].map((name) => ({ name, support: 'supported' as const }));
}
