/** What a disk is made of at least; a hypervisor would round a stray size by itself, each in its own way. */
export const SECTOR_BYTES = 512;

/** The size as a whole number of units, rounded up. */
export const wholeUnits = (sizeBytes: number, unitBytes: number): number =>
  Math.ceil(sizeBytes / unitBytes) * unitBytes;
