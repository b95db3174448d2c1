import { execFile, execFileSync } from 'node:child_process';
import { LvmBackend } from '../../src/storage-backend/lvm/lvm-backend.js';
import { localLvm } from '../../src/storage-backend/lvm/lvm-tools.js';
import { type ExamGroup, anExamGroup, exerciseLvm, type LvmMachine } from '../support/lvm-exam.js';
import { scratchFolder } from '../support/scratch-folder.js';
import { describeUnless } from '../support/skippable.js';

/** Why there can be no volume group on this machine: then a host of the lab has one, in the suite `xen`. */
async function lvmObstacle(): Promise<string | null> {
  if (process.getuid?.() !== 0) return 'volume groups are for root';
  if (!(await new LvmBackend({ tools: localLvm }).offered()))
    return 'this machine has no LVM, or no device-mapper in its kernel';
  try {
    execFileSync('losetup', ['--find'], { stdio: 'ignore' });
    return null;
  } catch {
    return 'this machine has no loop device to spare';
  }
}

const machine: LvmMachine = {
  tools: localLvm,
  run: ([program = '', ...args], input) =>
    new Promise((resolve, reject) => {
      const child = execFile(program, args, { encoding: 'buffer' }, (error, stdout, stderr) =>
        error ? reject(new Error(`${program}: ${stderr.toString()}`, { cause: error })) : resolve(stdout),
      );
      child.stdin?.end(input);
    }),
};

describeUnless(await lvmObstacle(), 'on a volume group of this machine', () => {
  let scratch: ReturnType<typeof scratchFolder>;
  let group: ExamGroup;
  beforeAll(async () => {
    scratch = scratchFolder('lvm');
    group = await anExamGroup(machine, scratch.path);
  });
  afterAll(async () => {
    await group?.remove();
    scratch.remove();
  });

  exerciseLvm('lvm', () => ({ machine, group }));
});
