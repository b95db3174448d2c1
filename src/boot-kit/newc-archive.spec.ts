import { newcArchive } from './newc-archive.js';

describe('newcArchive', () => {
  it('writes headers, names and data padded to four bytes, folders before what they hold', () => {
    const archive = newcArchive([
      { path: 'etc/motd', kind: 'file', mode: 0o644, data: Buffer.from('hello') },
    ]);
    const folder = `070701${'00000001000041ED0000000000000000000000020000000000000000'}${'00000000'.repeat(4)}0000000400000000`;
    const file = `070701${'00000002000081A40000000000000000000000010000000000000005'}${'00000000'.repeat(4)}0000000900000000`;
    const end = `070701${'00000000'.repeat(4)}0000000100000000${'00000000'.repeat(5)}0000000B00000000`;
    expect(archive.toString('latin1')).toBe(
      `${folder}etc\0\0\0` + `${file}etc/motd\0\0` + 'hello\0\0\0' + `${end}TRAILER!!!\0\0\0\0`,
    );
  });

  it('gives the same bytes for the same entries', () => {
    const make = () =>
      newcArchive([
        { path: 'bin/sh', kind: 'link', to: 'busybox' },
        { path: 'dev/console', kind: 'device', mode: 0o600, major: 5, minor: 1 },
      ]);
    expect(make()).toEqual(make());
    expect(make().length % 4).toBe(0);
  });

  it.each(['/etc/passwd', '../up', 'a/../../b', ''])(
    'refuses the path %p, which leaves the archive',
    (path) => {
      expect(() => newcArchive([{ path, kind: 'folder', mode: 0o755 }])).toThrow(/relative/);
    },
  );
});
