import { dependencyNames, parseSimulatedInstall, parseStanzas } from './apt-output.js';

const SHOWN = `Package: linux-image-cloud-amd64
Version: 6.1.192-2
Depends: linux-image-6.1.0-56-cloud-amd64 (= 6.1.192-2)
Description: Linux for x86-64 cloud (meta-package)
 This package depends on the latest Linux kernel
 and modules.

Package: other
Version: 1
`;

test('stanzas keep folded lines and stay apart', () => {
  const [first, second] = parseStanzas(SHOWN);
  expect(first?.get('version')).toBe('6.1.192-2');
  expect(first?.get('description')).toContain('and modules.');
  expect(second?.get('package')).toBe('other');
});

test('dependency names come without versions, alternatives included', () => {
  expect(dependencyNames('libc6 (>= 2.36), libssl3 | libssl1.1 (>= 1), adduser:any')).toEqual([
    'libc6',
    'libssl3',
    'libssl1.1',
    'adduser',
  ]);
  expect(dependencyNames('')).toEqual([]);
});

test('a simulated install names what would be unpacked, and only that', () => {
  const printed = `NOTE: This is only a simulation!
Inst libjemalloc2 (5.3.0-1 Debian:12.15/oldstable [amd64])
Inst redis-server (5:7.0.15-1~deb12u9 Debian:12.15/oldstable [amd64])
Conf libjemalloc2 (5.3.0-1 Debian:12.15/oldstable [amd64])
`;
  expect(parseSimulatedInstall(printed)).toEqual(['libjemalloc2', 'redis-server']);
});
