import pg from 'pg';
import { plannedLinks } from './binaries.js';
import { lastWords } from './cluster.js';
import { parsePostmasterPid, serverSettings, socketUrl } from './settings.js';

describe('PostgreSQL settings', () => {
  it('gives node-postgres a URL that leads to the socket, whatever the folder and password hold', () => {
    const url = socketUrl({
      user: 'domus',
      password: 'a/b:c@d?',
      database: 'domus',
      socketFolder: '/tmp/a b/ü',
    });
    const client = new pg.Client({ connectionString: url });
    expect([client.host, client.user, client.password, client.database]).toEqual([
      '/tmp/a b/ü',
      'domus',
      'a/b:c@d?',
      'domus',
    ]);
  });

  it('never opens a network port, and survives a crash of the machine unless a test says otherwise', () => {
    const settings = serverSettings({ socketFolder: '/s', durable: true });
    expect(settings).toContain('listen_addresses=');
    expect(settings).toContain('synchronous_commit=on');
    expect(settings.join()).not.toContain('fsync=off');
  });

  it('reads postmaster.pid as PostgreSQL leaves it while starting, when ready, and half written', () => {
    const ready = '4711\n/d/data\n1700000000\n5432\n/run/s\n\n  12345  678\nready   \n';
    expect(parsePostmasterPid(ready)).toEqual({ pid: 4711, socketFolder: '/run/s', ready: true });
    expect(parsePostmasterPid(ready.replace('ready   ', 'starting'))?.ready).toBe(false);
    expect(parsePostmasterPid('')).toBeUndefined();
    expect(parsePostmasterPid('-12\n')).toBeUndefined();
  });

  it('plans library links that hold when the package is moved', () => {
    const manifest = JSON.stringify([{ source: 'native/lib/libx.so.1.2', target: 'native/lib/libx.so' }]);
    expect(plannedLinks(manifest)).toEqual([{ path: 'native/lib/libx.so', pointsTo: 'libx.so.1.2' }]);
  });

  it('takes the reason out of a log', () => {
    expect(lastWords('LOG:  starting\n2026 [1] FATAL:  lock file exists\n2026 [1] HINT:  look\n')).toBe(
      'lock file exists',
    );
    expect(lastWords('')).toBe('it said nothing');
  });
});
