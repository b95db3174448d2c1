import { randomUUID } from 'node:crypto';
import {
  createStorageRepositoryInput,
  createVolumeInput,
  plainFolder,
  wholeSectors,
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

describe('the size of a new volume', () => {
  it('is made of whole sectors', () => {
    expect(wholeSectors(sized(1_000_001).data?.sizeBytes ?? 0)).toBe(1_000_448);
    expect(wholeSectors(sized(1_048_576).data?.sizeBytes ?? 0)).toBe(1_048_576);
  });

  it.each([0, -512, 511, 1.5, 2 ** 60, Number.NaN])('is refused: %d', (size) => {
    expect(sized(size).success).toBe(false);
  });
});
