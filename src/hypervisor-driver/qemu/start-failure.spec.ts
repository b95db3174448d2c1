import { lastComplaint, startFailure } from './start-failure.js';

describe('startFailure', () => {
  it.each([
    [
      'qemu-system-x86_64: -blockdev {"driver":"raw"}: Could not open \'/a/b.raw\': No such file or directory\n',
      'domain.start_failed',
      '-blockdev {"driver":"raw"}: Could not open \'/a/b.raw\': No such file or directory',
    ],
    [
      'qemu-system-x86_64: -device {}: Failed to get "write" lock\nIs another process using the image [/a/b.raw]?\n',
      'volume.in_use',
      '-device {}: Failed to get "write" lock',
    ],
    [
      "qemu-system-x86_64: cannot set up guest memory 'pc.ram': Cannot allocate memory\n",
      'host.memory_insufficient',
      "cannot set up guest memory 'pc.ram': Cannot allocate memory",
    ],
    ['', 'domain.start_failed', 'QEMU ended'],
  ])('reads %p', (stderr, code, detail) => {
    expect(startFailure(stderr, 'QEMU ended')).toMatchObject({ code, detail });
  });

  it('passes over warnings, and keeps one long line short', () => {
    expect(lastComplaint('qemu-system-x86_64: warning: host lacks svm\n')).toBeNull();
    expect(lastComplaint('x'.repeat(10_000))).toHaveLength(500);
  });
});
