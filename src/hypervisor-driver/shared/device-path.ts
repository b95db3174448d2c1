/** Whether a disk's path is a block device of the host, which a hypervisor opens otherwise than a file. `/dev/shm` holds files. */
export const isDevicePath = (path: string): boolean => /^\/dev\/(?!shm\/)/.test(path);
