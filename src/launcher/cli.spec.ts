import { parseCommand } from './cli.js';
import { exitCode, LauncherError } from './launcher-error.js';

const parse = (line: string) => parseCommand(line.split(' ').filter((word) => word !== ''));

describe('the command line', () => {
  it('fills in what was not said', () => {
    expect(parse('up')).toEqual({
      name: 'up',
      data: './.domus',
      port: 8080,
      portGiven: false,
      demo: false,
      detach: false,
      simulate: false,
    });
    expect(parse('up --port 0 --demo --detach --data /d')).toMatchObject({
      port: 0,
      portGiven: true,
      demo: true,
    });
    expect(parse('logs server -f')).toMatchObject({ part: 'server', follow: true });
    expect(parse('test unit qemu')).toEqual({ name: 'test', suites: ['unit', 'qemu'] });
    expect(parse('bench list --rounds 9')).toEqual({ name: 'bench', names: ['list'], rounds: 9 });
    expect(parse('chaos --kills 9 --seed 7')).toEqual({
      name: 'chaos',
      kills: 9,
      operations: undefined,
      seed: 7,
      hosts: 8,
      queue: 'redis',
      qemu: false,
      sweep: false,
      only: undefined,
      share: undefined,
    });
    expect(parse('chaos --sweep --only domain.start/agent --share 9')).toMatchObject({
      sweep: true,
      only: 'domain.start/agent',
      share: 9,
    });
    const lab = { name: 'lab', data: './.domus', plain: 0, systemd: false, json: false };
    expect(parse('lab up')).toEqual({ ...lab, action: 'up', xen: 1 });
    expect(parse('lab up --plain 2 --systemd')).toEqual({
      ...lab,
      action: 'up',
      xen: 0,
      plain: 2,
      systemd: true,
    });
    expect(parse('lab down --data /d')).toEqual({ ...lab, action: 'down', xen: 0, data: '/d' });
    expect(parse('lab status --json')).toMatchObject({ action: 'status', json: true });
  });

  it.each([
    '',
    'dance',
    'up now',
    'up --port',
    'up --port -1',
    'up --port 70000',
    'status --port 1',
    'bench --rounds 0',
    'chaos --kills many',
    'chaos --hosts 0',
    'chaos --queue kafka',
    'chaos --only domain.start',
    'chaos --sweep --kills 9',
    'chaos --sweep --share 0',
    'logs ../../etc/x',
    'lab',
    'lab build',
    'lab up --xen 9',
    'lab down --xen 1',
  ])('takes "%s" for a mistake in usage', (line) => {
    expect(() => parse(line)).toThrow(LauncherError);
    expect(() => parse(line)).toThrow(expect.objectContaining({ code: exitCode.usage }));
  });
});
