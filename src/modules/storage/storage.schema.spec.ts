import { randomUUID } from 'node:crypto';
import {
  createStorageRepositoryInput,
  createVolumeInput,
  formatsOf,
  misfits,
  plainFolder,
  SECTOR_BYTES,
  wholeUnits,
} from './storage.schema.js';

const repository = (path: string) =>
  createStorageRepositoryInput.safeParse({ name: 'images', poolId: randomUUID(), path });
const sized = (sizeBytes: number) =>
  createVolumeInput.safeParse({ name: 'disk', repositoryId: randomUUID(), sizeBytes });

describe('the folder of a new repository', () => {
  it.each([
    'images',
    './images',
    '',
    '/',
    '//',
    '/srv/../etc',
    '/srv/./x',
    '/srv/a\nb',
    '/srv/a\0b',
    '/' + 'x'.repeat(1024),
  ])('is refused: %j', (path) => {
    expect(repository(path).success).toBe(false);
  });

  it.each([
    ['/srv/images', '/srv/images'],
    ['/srv//images/', '/srv/images'],
    ['/srv/..hidden', '/srv/..hidden'],
  ])('has one way to be written: %j', (path, kept) => {
    expect(plainFolder(repository(path).data?.path ?? '')).toBe(kept);
  });
});

describe('a new repository that is a volume group', () => {
  const group = { kind: 'lvm' as const, path: '/dev/vg0', create: false, shared: false };
  const paths = (over: object) => misfits({ ...group, ...over }).map(({ path }) => path);

  it('is /dev/ and the name of one', () => {
    for (const path of ['/dev/vg0', '/dev//vg0/', '/dev/a.b+c_d-e', '/dev/..x'])
      expect(paths({ path })).toEqual([]);
    for (const path of [
      '/srv/vg0',
      '/dev/',
      '/dev/vg0/lv',
      '/dev/-vg0',
      '/dev/vg 0',
      '/dev/vg0;x',
      '/devvg0',
    ])
      expect(paths({ path })).toEqual(['path']);
  });

  it('is neither made by Domus nor seen by several hosts', () => {
    expect(paths({ create: true })).toEqual(['create']);
    expect(paths({ shared: true })).toEqual(['shared']);
    expect(paths({ kind: 'directory', path: '/srv', create: true, shared: true })).toEqual([]);
  });

  it('holds raw volumes alone', () => {
    expect(formatsOf.lvm).toEqual(['raw']);
  });
});

describe('the size of a new volume', () => {
  it('is made of whole units', () => {
    expect(wholeUnits(sized(1_000_001).data?.sizeBytes ?? 0, SECTOR_BYTES)).toBe(1_000_448);
    expect(wholeUnits(sized(1_048_576).data?.sizeBytes ?? 0, SECTOR_BYTES)).toBe(1_048_576);
    expect(wholeUnits(1, 4 << 20)).toBe(4 << 20);
  });

  it.each([0, -512, 511, 1.5, 2 ** 60, Number.NaN])('is refused: %d', (size) => {
    expect(sized(size).success).toBe(false);
  });
});
