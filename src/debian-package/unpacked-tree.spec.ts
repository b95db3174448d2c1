import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PackageUnavailable, inWorkFolder, unpackDebianPackages } from './index.js';

describe('the package cache', () => {
  let cacheDir: string;
  beforeEach(async () => {
    cacheDir = await mkdtemp(join(tmpdir(), 'domus-packages-'));
  });
  afterEach(() => rm(cacheDir, { recursive: true, force: true }));

  it('names what is missing when downloads are forbidden', async () => {
    const asked = unpackDebianPackages({ packages: ['redis-server'], cacheDir, allowDownload: false });
    await expect(asked).rejects.toThrow(PackageUnavailable);
    await expect(asked).rejects.toThrow(/redis-server/);
  });

  it('leaves no work folder behind, also when the work fails', async () => {
    await expect(inWorkFolder(cacheDir, () => Promise.reject(new Error('no disk')))).rejects.toThrow(
      'no disk',
    );
    expect(await readdir(cacheDir)).toEqual([]);
  });

  it('sweeps what a killed process left, and not the folder of a living one', async () => {
    await mkdir(join(cacheDir, 'work-4194999-abcdef'));
    await mkdir(join(cacheDir, `work-${process.ppid}-abcdef`));
    await inWorkFolder(cacheDir, async () => undefined);
    expect(await readdir(cacheDir)).toEqual([`work-${process.ppid}-abcdef`]);
  });
});
