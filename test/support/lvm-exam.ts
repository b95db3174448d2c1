import { randomUUID } from 'node:crypto';
import { type RepositoryRef } from '../../src/agent-contract/index.js';
import { exerciseBackend } from '../../src/storage-backend/conformance/exercise-backend.js';
import { LvmBackend } from '../../src/storage-backend/lvm/lvm-backend.js';
import { type LvmTools } from '../../src/storage-backend/lvm/lvm-tools.js';

/** A machine with LVM, this one or another. */
export interface LvmMachine {
  readonly tools: LvmTools;
  /** Runs a command as root; one that fails is an error. */
  run(argv: readonly string[], input?: Buffer): Promise<Buffer>;
}

/** A volume group on a file of the machine, for one test file. */
export interface ExamGroup {
  readonly name: string;
  /** As vgcreate made it: no volume, no tag. */
  clear(): Promise<void>;
  remove(): Promise<void>;
}

const MEBIBYTES = 128;

export async function anExamGroup(machine: LvmMachine, folder: string): Promise<ExamGroup> {
  const name = `vg${randomUUID().slice(0, 8)}`;
  const image = `${folder}/${name}.img`;
  await machine.run(['truncate', '-s', `${MEBIBYTES}M`, image]);
  const device = (await machine.run(['losetup', '--find', '--show', image])).toString().trim();
  const make = () => machine.run(['vgcreate', '-q', '-y', name, device]);
  const unmake = () => machine.run(['vgremove', '-q', '-f', '-y', name]);
  await make();
  return {
    name,
    clear: async () => {
      await unmake();
      await make();
    },
    remove: async () => {
      await unmake();
      await machine.run(['losetup', '-d', device]);
      await machine.run(['rm', image]);
    },
  };
}

/** The exam of all storage backends for the lvm one, on a real volume group. */
export function exerciseLvm(name: string, given: () => { machine: LvmMachine; group: ExamGroup }): void {
  exerciseBackend(name, async () => {
    const { machine, group } = given();
    const repository: RepositoryRef = { id: randomUUID(), kind: 'lvm', path: `/dev/${group.name}` };
    const open = () => new LvmBackend({ tools: machine.tools });
    const at = (bytes: number) => ['iflag=count_bytes,skip_bytes', `skip=${bytes}`];
    return {
      backend: open(),
      repository,
      missing: { id: randomUUID(), kind: 'lvm', path: '/dev/vg-nowhere' },
      putFile: null,
      granularityBytes: 4 << 20,
      bytes: {
        read: (path, from, count) =>
          machine.run(['dd', `if=${path}`, 'status=none', `count=${count}`, ...at(from)]),
        write: async (path, from, data) => {
          const where = ['oflag=seek_bytes', `seek=${from}`, 'conv=notrunc,fsync'];
          await machine.run(['dd', `of=${path}`, 'status=none', ...where], data);
        },
      },
      restarted: open,
      close: () => group.clear(),
    };
  }, ['raw']);
}
