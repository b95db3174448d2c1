/** A suite is a jest project of the same name. Add one here and in jest.config.mjs. */
export interface Suite {
  readonly name: string;
  /** The whole suite; past it the suite is ended and has failed. */
  readonly deadlineMinutes: number;
  readonly workers: number;
  /** Unpacked into the cache before it begins, never installed: installing would start a service. */
  readonly unpacks: readonly (readonly string[])[];
  /** Installed by apt as root: tools that start no service. */
  readonly qemu: boolean;
  /** Only where it is named: it takes long, or hurts. */
  readonly onlyByName?: true;
}

export const suites: readonly Suite[] = [
  { name: 'unit', deadlineMinutes: 8, workers: 2, unpacks: [], qemu: false },
  {
    name: 'integration',
    deadlineMinutes: 15,
    workers: 2,
    unpacks: [['redis-server'], ['postgresql-15']],
    qemu: false,
  },
  { name: 'e2e', deadlineMinutes: 15, workers: 1, unpacks: [['redis-server']], qemu: true },
  { name: 'qemu', deadlineMinutes: 15, workers: 1, unpacks: [], qemu: true },
  // Under 10 minutes with the image of the lab in the cache, and 3 more to build it.
  { name: 'xen', deadlineMinutes: 13, workers: 1, unpacks: [], qemu: true, onlyByName: true },
  // The driver's exam boots a guest for most of its questions: by far the longest.
  { name: 'xen-exam', deadlineMinutes: 30, workers: 1, unpacks: [], qemu: true, onlyByName: true },
  {
    name: 'chaos',
    deadlineMinutes: 20,
    workers: 1,
    unpacks: [['redis-server']],
    qemu: true,
    onlyByName: true,
  },
];
