import { type Dom0 } from '../../src/hypervisor-driver/xen/index.js';
import { Lab } from '../lab/lab.js';
import { prepareLab } from '../lab/obstacle.js';
import { testBootKit } from '../support/boot-kit.js';
import { type HostShell, remoteDom0 } from './remote-dom0.js';
import { layKernels } from './xen-host.js';

/** One real Xen host, and the driver's way into its control domain. */
export interface XenLab {
  readonly dom0: Dom0;
  /** Runs a command in dom0; one that fails is an error. */
  run(argv: readonly string[]): Promise<string>;
  close(): Promise<void>;
}

/** Why there can be none on this machine; null if there can. */
export const xenObstacle = (): Promise<string | null> => prepareLab();

export async function openXenLab(): Promise<XenLab> {
  const kit = await testBootKit();
  const lab = await Lab.open({ xen: 1 });
  try {
    const host = lab.host('xen-1');
    const shell: HostShell = {
      open: (argv) => host.open(argv),
      run: (argv) => host.try(argv),
      put: (data, path, mode) => host.put(data, path, mode),
    };
    await layKernels(shell, kit);
    const dom0 = await remoteDom0(shell);
    return {
      dom0,
      run: (argv) => host.run(argv),
      close: async () => {
        await dom0.close();
        await lab.close();
      },
    };
  } catch (error) {
    await lab.close();
    throw error;
  }
}
