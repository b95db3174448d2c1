import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readAgentConfig } from './agent.config.js';
import { ConfigError } from './read-config.js';
import { readServerConfig } from './server.config.js';

const server = {
  DOMUS_DATA_DIR: '/d',
  DATABASE_URL: 'postgres:///domus',
  DOMUS_SECRET_KEY_FILE: '/d/secret.key',
};

describe('configuration', () => {
  it('has a default for everything that is not a secret or a place', () => {
    const config = readServerConfig(server);
    expect(config.listen).toEqual({ host: '127.0.0.1', port: 8080 });
    expect([...config.roles]).toEqual(['api', 'worker', 'link']);
    expect(config.redisUrl).toBeUndefined();
  });

  it('trusts no proxy unless it is named', () => {
    const trusted = (text: string) =>
      readServerConfig({ ...server, DOMUS_TRUSTED_PROXIES: text }).trustedProxies;
    expect(trusted('')).toEqual([]);
    expect(trusted('127.0.0.1, fd00::/8')).toEqual(['127.0.0.1', 'fd00::/8']);
  });

  it('takes an empty variable for an absent one', () => {
    expect(readServerConfig({ ...server, REDIS_URL: '' }).redisUrl).toBeUndefined();
  });

  it.each([
    ['DOMUS_LISTEN', '127.0.0.1'],
    ['DOMUS_LISTEN', '127.0.0.1:70000'],
    ['DATABASE_URL', 'mysql://secret@h'],
    ['DOMUS_ROLES', 'api,cook'],
    ['DOMUS_DATA_DIR', 'relative'],
    ['DOMUS_TRUSTED_PROXIES', '10.0.0.0/8,somewhere'],
  ])('stops the start with one sentence that names %s and does not repeat its value', (name, value) => {
    const start = () => readServerConfig({ ...server, [name]: value });
    expect(start).toThrow(ConfigError);
    expect(start).toThrow(new RegExp(`^${name}`));
    expect(start).not.toThrow(new RegExp(value.slice(-6)));
  });

  describe('with the password of the database in a file', () => {
    const folder = mkdtempSync(join(tmpdir(), 'domus-config-'));
    const file = join(folder, 'password');
    afterAll(() => rmSync(folder, { recursive: true }));
    const read = (url: string) =>
      readServerConfig({ ...server, DATABASE_URL: url, DATABASE_PASSWORD_FILE: file }).databaseUrl;

    it('puts it into the URL, whatever its characters', () => {
      writeFileSync(file, 'p@ss/w?rd#%\n');
      const url = new URL(read('postgres://domus@postgres:5432/domus'));
      expect(decodeURIComponent(url.password)).toBe('p@ss/w?rd#%');
      expect(`${url.host}${url.pathname}`).toBe('postgres:5432/domus');
    });

    it('stops the start when the URL has one of its own, or nobody to whom it could belong', () => {
      writeFileSync(file, 'new');
      expect(() => read('postgres://domus:old@postgres/domus')).toThrow(/^DATABASE_URL/);
      expect(() => read('postgres:///domus')).toThrow(/^DATABASE_URL/);
    });

    it('stops the start when the file cannot be read', () => {
      rmSync(file, { force: true });
      expect(() => read('postgres://domus@postgres/domus')).toThrow(
        /^DATABASE_PASSWORD_FILE: cannot be read/,
      );
    });
  });

  it('refuses to enrol over plain HTTP', () => {
    expect(() =>
      readAgentConfig({ DOMUS_DATA_DIR: '/d', DOMUS_RUNTIME_DIR: '/r', DOMUS_ENROL_URL: 'http://h/' }),
    ).toThrow(ConfigError);
  });
});
