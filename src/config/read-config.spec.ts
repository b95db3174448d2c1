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

  it('takes an empty variable for an absent one', () => {
    expect(readServerConfig({ ...server, REDIS_URL: '' }).redisUrl).toBeUndefined();
  });

  it.each([
    ['DOMUS_LISTEN', '127.0.0.1'],
    ['DOMUS_LISTEN', '127.0.0.1:70000'],
    ['DATABASE_URL', 'mysql://secret@h'],
    ['DOMUS_ROLES', 'api,cook'],
    ['DOMUS_DATA_DIR', 'relative'],
  ])('stops the start with one sentence that names %s and does not repeat its value', (name, value) => {
    const start = () => readServerConfig({ ...server, [name]: value });
    expect(start).toThrow(ConfigError);
    expect(start).toThrow(new RegExp(`^${name}`));
    expect(start).not.toThrow(new RegExp(value.slice(-6)));
  });

  it('refuses to enrol over plain HTTP', () => {
    expect(() =>
      readAgentConfig({ DOMUS_DATA_DIR: '/d', DOMUS_RUNTIME_DIR: '/r', DOMUS_ENROL_URL: 'http://h/' }),
    ).toThrow(ConfigError);
  });
});
