import { type RepositoryRef } from '../agent-contract/index.js';
import { type StorageBackend } from './backend.js';
import { DirectoryBackend } from './directory/directory-backend.js';
import { createQcow2With } from './directory/qemu-img.js';
import { FakeBackend } from './fake/fake-backend.js';
import { LvmBackend } from './lvm/lvm-backend.js';
import { localLvm } from './lvm/lvm-tools.js';

export interface BackendSettings {
  /** The qemu-img program: an absolute path, or a name to be found on the system's usual path. */
  readonly qemuImg: string;
}

/** One backend for each kind of repository that the contract knows. */
export type Backends = Readonly<Record<RepositoryRef['kind'], StorageBackend>>;

/** The only list of storage backends. A new one is a folder here and a line below. */
export const createBackends = (settings: BackendSettings): Backends => ({
  directory: new DirectoryBackend({ createQcow2: createQcow2With(settings.qemuImg) }),
  lvm: new LvmBackend({ tools: localLvm }),
});

/** Remembered storage in the place of every kind, for simulated hosts. One set may serve many hosts: they then share it. */
export const createFakeBackends = (parts: { stateFile?: string; capacityBytes?: number } = {}): Backends => ({
  directory: new FakeBackend({ kind: 'directory', ...parts }),
  lvm: new FakeBackend({
    kind: 'lvm',
    ...parts,
    ...(parts.stateFile && { stateFile: `${parts.stateFile}.lvm` }),
  }),
});
