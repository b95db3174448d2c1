/** Disks are made of sectors of 512 bytes; a hypervisor would round a stray size by itself, each in its own way. */
export const wholeSectors = (sizeBytes: number): number => Math.ceil(sizeBytes / 512) * 512;
