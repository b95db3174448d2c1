/** Where the program is laid into the guest's memory. */
const BASE = 0x100000;
const ELF_HEADER = 64;
const PROGRAM_HEADER = 56;
/** XEN_ELFNOTE_PHYS32_ENTRY: where a PVH guest begins, in 32-bit mode. */
const PHYS32_ENTRY = 18;

/** What the guest does: nothing, or Xen's SHUTDOWN_* at once. */
export const tinyGuests = ['waits', 'powers off', 'reboots', 'crashes'] as const;
export type TinyGuest = (typeof tinyGuests)[number];

/** `sti`, then `hlt` for ever. With interrupts off Xen would take the halt for the guest's wish to be switched off. */
const WAIT = [0xfb, 0xf4, 0xeb, 0xfd];

/** Hypercall 29 (sched_op), 2 (shutdown), with the reason's address; by AMD's instruction, which is what TCG emulates. */
function shutdown(reason: number, at: number): Buffer {
  const code = Buffer.alloc(22);
  code.set([0xb8, 29], 0); // mov eax
  code.set([0xbb, 2], 5); // mov ebx
  code.set([0xb9], 10); // mov ecx
  code.writeUInt32LE(at + 18, 11);
  code.set([0x0f, 0x01, 0xd9], 15); // vmmcall
  code.writeUInt32LE(reason, 18);
  return code;
}

/**
 * The smallest PVH guest: a few bytes of program in an ELF file, with the note by which Xen knows where to begin. Making
 * it takes Xen no longer than making any domain must.
 */
export function tinyKernel(guest: TinyGuest = 'waits'): Buffer {
  const noteAt = ELF_HEADER + 2 * PROGRAM_HEADER;
  const note = Buffer.alloc(20);
  const reasons = { 'powers off': 0, reboots: 1, crashes: 3 };
  const entry = BASE + noteAt + note.length;
  const program = guest === 'waits' ? Buffer.from(WAIT) : shutdown(reasons[guest], entry);
  const size = noteAt + note.length + program.length;
  note.writeUInt32LE(4, 0); // bytes of the name
  note.writeUInt32LE(4, 4); // of what it says
  note.writeUInt32LE(PHYS32_ENTRY, 8);
  note.write('Xen\0', 12, 'latin1');
  note.writeUInt32LE(entry, 16);

  const header = Buffer.alloc(ELF_HEADER);
  header.write('\x7fELF', 0, 'latin1');
  header.set([2, 1, 1], 4); // 64 bits, little-endian, version 1
  header.writeUInt16LE(2, 16); // an executable
  header.writeUInt16LE(62, 18); // for x86-64
  header.writeUInt32LE(1, 20);
  header.writeBigUInt64LE(BigInt(entry), 24);
  header.writeBigUInt64LE(BigInt(ELF_HEADER), 32);
  header.writeUInt16LE(ELF_HEADER, 52);
  header.writeUInt16LE(PROGRAM_HEADER, 54);
  header.writeUInt16LE(2, 56);

  const segment = (type: number, flags: number, at: number, bytes: number, align: number): Buffer => {
    const one = Buffer.alloc(PROGRAM_HEADER);
    one.writeUInt32LE(type, 0);
    one.writeUInt32LE(flags, 4);
    for (const [place, value] of [at, BASE + at, BASE + at, bytes, bytes, align].entries())
      one.writeBigUInt64LE(BigInt(value), 8 + 8 * place);
    return one;
  };
  return Buffer.concat([
    header,
    segment(1, 5, 0, size, 0x1000), // all of it, to be read and run
    segment(4, 4, noteAt, note.length, 4), // the note
    note,
    program,
  ]);
}
