import { z } from 'zod';

export interface LogicalVolume {
  readonly name: string;
  readonly sizeBytes: number;
  /** It has a device that can be opened. */
  readonly active: boolean;
}

/** A volume group, as LVM shows all of it at one time. */
export interface VolumeGroup {
  readonly name: string;
  readonly capacityBytes: number;
  readonly freeBytes: number;
  /** Every volume is a whole number of extents. */
  readonly extentBytes: number;
  readonly tags: readonly string[];
  readonly volumes: ReadonlyMap<string, LogicalVolume>;
}

const section = (name: string, fields: string) => ['--configreport', name, '-o', fields];

/** The words after `lvm`: one call for everything, so that it is all of one moment. The sections that are not wanted are kept short. */
export const reportArguments = (group: string): string[] => [
  'fullreport',
  ...['--reportformat', 'json', '--units', 'b', '--nosuffix'],
  ...section('vg', 'vg_name,vg_size,vg_free,vg_extent_size,vg_tags'),
  ...section('lv', 'lv_name,lv_size,lv_active'),
  ...section('pv', 'pv_name'),
  ...section('pvseg', 'pvseg_start'),
  ...section('seg', 'seg_start'),
  group,
];

/** LVM's numbers are texts. */
const number = z
  .string()
  .regex(/^\d+$/)
  .transform(Number)
  .pipe(z.int().nonnegative().max(Number.MAX_SAFE_INTEGER));
const fullReport = z.object({
  report: z.tuple([
    z.object({
      vg: z.tuple([
        z.object({
          vg_name: z.string(),
          vg_size: number,
          vg_free: number,
          vg_extent_size: number,
          vg_tags: z.string(),
        }),
      ]),
      lv: z.array(z.object({ lv_name: z.string(), lv_size: number, lv_active: z.string() })),
    }),
  ]),
});

/** What `lvm fullreport` prints of one volume group. Throws for anything else, such as two groups of one name. */
export function parseReport(text: string): VolumeGroup {
  const [{ vg, lv }] = fullReport.parse(JSON.parse(text)).report;
  const [{ vg_name, vg_size, vg_free, vg_extent_size, vg_tags }] = vg;
  const volumes = lv.map(({ lv_name, lv_size, lv_active }) => ({
    name: lv_name,
    sizeBytes: lv_size,
    active: lv_active.startsWith('active'),
  }));
  return {
    name: vg_name,
    capacityBytes: vg_size,
    freeBytes: vg_free,
    extentBytes: vg_extent_size,
    tags: vg_tags.split(',').filter((tag) => tag !== ''),
    volumes: new Map(volumes.map((volume) => [volume.name, volume])),
  };
}

/** The first thing that LVM complained of: what follows are consequences. */
export function lvmComplaint(stderr: string): string {
  const lines = stderr.split('\n').map((line) => line.trim());
  const complaint = lines.find((line) => line !== '' && !/^(WARNING|Parsing|File descriptor)\b/.test(line));
  return (complaint ?? 'it did not say why').slice(0, 500);
}

export const saysNoSuchGroup = (stderr: string): boolean =>
  /^\s*Volume group "[^"]*" not found/m.test(stderr);
export const saysNoRoom = (stderr: string): boolean => /insufficient (free space|suitable)/.test(stderr);
export const saysInUse = (stderr: string): boolean =>
  /contains a filesystem in use|is used by another device|\bin use\b/.test(stderr);
export const saysNoSuchVolume = (stderr: string): boolean => /Failed to find logical volume/.test(stderr);
