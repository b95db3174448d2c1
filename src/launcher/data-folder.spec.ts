import { copyFileSync, mkdirSync, statSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { scratchFolder } from '../../test/support/scratch-folder.js';
import {
  dataFolder,
  isSimulated,
  prepareDataFolder,
  prepareRuntimeFolder,
  readAdminToken,
  runtimeFolderFor,
  settleMode,
} from './data-folder.js';
import { ensurePrivateFolder } from './private-file.js';

describe('the data folder', () => {
  const scratch = scratchFolder('data');
  afterAll(() => scratch.remove());
  const mode = (path: string) => statSync(path).mode & 0o777;

  it('is closed to everybody else, and its secrets stay what they were', () => {
    mkdirSync(join(scratch.path, 'd'), { mode: 0o755 });
    const folder = prepareDataFolder(join(scratch.path, 'd'));
    const token = readAdminToken(folder);
    expect(token).toMatch(/^domus_[\w-]{43}$/);
    expect([folder.path, folder.run, folder.logs].map(mode)).toEqual([0o700, 0o700, 0o700]);
    expect([folder.adminTokenFile, folder.secretKeyFile].map(mode)).toEqual([0o600, 0o600]);
    expect(statSync(folder.secretKeyFile).size).toBe(32);
    expect(readAdminToken(prepareDataFolder(folder.path))).toBe(token);
  });

  it('has one name, however it is reached', () => {
    mkdirSync(join(scratch.path, 'real'));
    symlinkSync('real', join(scratch.path, 'link'));
    expect(dataFolder(join(scratch.path, 'link')).path).toBe(dataFolder(join(scratch.path, 'real')).path);
  });

  it('keeps sockets where their paths are short enough', () => {
    expect(runtimeFolderFor('/srv/domus', 0, undefined)).toBe('/srv/domus/run');
    const far = runtimeFolderFor(`/srv/${'x'.repeat(90)}`, 1000, '/run/user/1000');
    expect(far).toMatch(/^\/run\/user\/1000\/domus-1000-[0-9a-f]{8}$/);
    expect(runtimeFolderFor(`/srv/${'x'.repeat(90)}`, 1000, `/${'y'.repeat(90)}`).length).toBeLessThan(40);
  });

  it('keeps sockets where they were once put, whatever the login says later', () => {
    const far = prepareDataFolder(join(scratch.path, 'z'.repeat(80)));
    const [one, two] = [join(scratch.path, 'r1'), join(scratch.path, 'r2')];
    const first = prepareRuntimeFolder(far, one);
    expect(first.startsWith(`${one}/domus-`)).toBe(true);
    expect([prepareRuntimeFolder(far, two), prepareRuntimeFolder(far, undefined)]).toEqual([first, first]);
    expect(mode(first)).toBe(0o700);
    const copy = prepareDataFolder(join(scratch.path, 'y'.repeat(80)));
    copyFileSync(join(far.run, 'runtime-folder'), join(copy.run, 'runtime-folder'));
    expect(prepareRuntimeFolder(copy, two).startsWith(`${two}/domus-`)).toBe(true);
  });

  it('takes no runtime folder that somebody else could have laid there', () => {
    symlinkSync('real', join(scratch.path, 'trap'));
    expect(() => ensurePrivateFolder(join(scratch.path, 'trap'))).toThrow('not a folder');
    expect(() => ensurePrivateFolder(join(scratch.path, 'real'), 4711)).toThrow('belongs to user');
  });

  it('never mixes simulated hosts with real ones', () => {
    const folder = prepareDataFolder(join(scratch.path, 'm'));
    settleMode(folder, true);
    settleMode(folder, true);
    expect(isSimulated(folder)).toBe(true);
    expect(() => settleMode(folder, false)).toThrow('--simulate');
  });
});
