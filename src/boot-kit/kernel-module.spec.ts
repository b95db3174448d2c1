import { loadOrder, moduleName, readModuleInfo } from './kernel-module.js';

/** The smallest ELF file that has a `.modinfo`: header, the two sections' bytes, the section table. */
function elfWithModinfo(modinfo: string): Buffer {
  const names = Buffer.from('\0.shstrtab\0.modinfo\0');
  const info = Buffer.from(modinfo);
  const namesAt = 64;
  const infoAt = namesAt + names.length;
  const table = infoAt + info.length;
  const file = Buffer.alloc(table + 3 * 64);
  file.write('\x7fELF\x02\x01\x01', 'latin1');
  file.writeBigUInt64LE(BigInt(table), 40);
  file.writeUInt16LE(64, 58);
  file.writeUInt16LE(3, 60);
  file.writeUInt16LE(1, 62);
  names.copy(file, namesAt);
  info.copy(file, infoAt);
  const section = (index: number, name: number, at: number, size: number) => {
    const entry = table + index * 64;
    file.writeUInt32LE(name, entry);
    file.writeBigUInt64LE(BigInt(at), entry + 24);
    file.writeBigUInt64LE(BigInt(size), entry + 32);
  };
  section(1, 1, namesAt, names.length);
  section(2, 11, infoAt, info.length);
  return file;
}

describe('readModuleInfo', () => {
  it('reads the pairs of the .modinfo section', () => {
    const info = readModuleInfo(
      elfWithModinfo('license=GPL\0depends=net_failover,failover\0name=virtio_net\0'),
    );
    expect(info.get('depends')).toBe('net_failover,failover');
    expect(info.get('name')).toBe('virtio_net');
  });

  it.each([Buffer.alloc(0), Buffer.from('\xfd7zXZ\0'.padEnd(80, '\0'), 'latin1')])(
    'refuses what is no plain ELF file',
    (bytes) => {
      expect(() => readModuleInfo(bytes)).toThrow(/ELF/);
    },
  );
});

describe('loadOrder', () => {
  const needs: Record<string, string[]> = {
    net: ['failover', 'core'],
    failover: ['core'],
    core: [],
    a: ['b'],
    b: ['a'],
  };
  const dependsOf = (name: string) => needs[name] ?? null;

  it('loads each module once and after everything it needs', () => {
    expect(loadOrder(['net', 'core'], dependsOf)).toEqual(['core', 'failover', 'net']);
  });
  it('leaves out what is built in or unknown, and ends on a cycle', () => {
    expect(loadOrder(['ext4', 'a'], dependsOf)).toEqual(['b', 'a']);
  });
});

test('a module is the same whether its file is named with - or _', () => {
  expect(moduleName('kernel/drivers/gpio/gpio-pl061.ko')).toBe('gpio_pl061');
});
