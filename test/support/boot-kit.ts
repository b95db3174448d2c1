import { type BootKit, buildBootKit } from '../../src/boot-kit/index.js';
import { testCache } from './unpacked.js';

/** The tiny Linux guest, built once and kept between runs. */
export const testBootKit = (): Promise<BootKit> =>
  buildBootKit({
    cacheDir: testCache,
    allowDownload: !['1', 'true'].includes(process.env['DOMUS_NO_INSTALL'] ?? ''),
  });
