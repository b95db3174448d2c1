import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { scratchFolder } from '../../test/support/scratch-folder.js';
import { ensureQemu } from './qemu-packages.js';

/** A machine without QEMU, whose apt-get only writes down how it was called, and brings QEMU after `update`. */
function aMachine(options: { apt?: boolean; brings?: boolean } = {}) {
  const { apt = true, brings = true } = options;
  const scratch = scratchFolder('apt');
  const bin = join(scratch.path, 'bin');
  const calls = join(scratch.path, 'calls');
  mkdirSync(bin);
  const program = (name: string, text: string) => {
    writeFileSync(join(bin, name), `#!/bin/sh\nPATH=/usr/bin:/bin\n${text}`);
    chmodSync(join(bin, name), 0o755);
  };
  if (apt) {
    program(
      'apt-get',
      `echo "$*" >>${calls}
case "$*" in
  *update*) touch ${scratch.path}/updated ;;
  *) [ -e ${scratch.path}/updated ] || { echo "E: Unable to locate package" >&2; exit 100; }
     ${brings ? `for name in qemu-system-x86_64 qemu-system-aarch64 qemu-img; do : >${bin}/$name; chmod 755 ${bin}/$name; done` : 'echo "E: no space left" >&2; exit 100'} ;;
esac
`,
    );
  }
  const notes: string[] = [];
  return {
    notes,
    install: (noInstall: boolean, uid: number) =>
      ensureQemu({ path: bin, noInstall }, (line) => notes.push(line), uid),
    calls: () => (existsSync(calls) ? readFileSync(calls, 'utf8').trim().split('\n') : []),
    remove: scratch.remove,
  };
}

describe('QEMU on a machine that has none', () => {
  let machine: ReturnType<typeof aMachine>;
  afterEach(() => machine.remove());

  it('is installed by root with apt, whose lists are refreshed only when they must be; then never again', async () => {
    machine = aMachine();
    await machine.install(false, 0);
    expect(machine.calls().map((call) => /(install --no-install-recommends|update)/.exec(call)?.[0])).toEqual(
      ['install --no-install-recommends', 'update', 'install --no-install-recommends'],
    );
    await machine.install(false, 0);
    expect([machine.calls().length, machine.notes.length]).toEqual([3, 1]);
  });

  it.each([
    ['for anybody but root', {}, false, 1000, 'only root may install it: apt-get install'],
    ['when installing is forbidden', {}, true, 0, 'DOMUS_NO_INSTALL forbids'],
    ['without apt-get', { apt: false }, false, 0, 'there is no apt-get here'],
  ])('is not installed %s: one sentence says what to do', async (_, options, noInstall, uid, words) => {
    machine = aMachine(options);
    await expect(machine.install(noInstall, uid)).rejects.toMatchObject({
      code: 4,
      message: expect.stringContaining(words) as string,
    });
    expect(machine.calls()).toEqual([]);
  });

  it('that apt cannot bring either: its reason is passed on', async () => {
    machine = aMachine({ brings: false });
    await expect(machine.install(false, 0)).rejects.toMatchObject({
      code: 4,
      message: expect.stringContaining('no space left') as string,
    });
  });
});
