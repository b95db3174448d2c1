import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { randomBytes } from 'node:crypto';
import { type Logger, pino } from 'pino';
import { readServerConfig, type ServerConfig } from '../../src/config/server.config.js';
import { type RunningServer, startServer } from '../../src/server/start-server.js';
import { eventually } from '../support/eventually.js';
import { freshDatabase, startPostgres } from '../support/postgres.js';

const dataDir = mkdtempSync(join(tmpdir(), 'domus-server-'));
writeFileSync(join(dataDir, 'secret.key'), randomBytes(32), { mode: 0o600 });
afterAll(() => rmSync(dataDir, { recursive: true, force: true }));

const lines: Record<string, unknown>[] = [];
const write = (line: string) => void lines.push(JSON.parse(line) as Record<string, unknown>);
const log: Logger = pino({ level: 'info' }, { write });

const config = (databaseUrl: string, roles = 'api,worker,link'): ServerConfig =>
  readServerConfig({
    DOMUS_DATA_DIR: dataDir,
    DATABASE_URL: databaseUrl,
    DOMUS_LISTEN: '127.0.0.1:0',
    DOMUS_METRICS_LISTEN: '127.0.0.1:0',
    DOMUS_ENROL_LISTEN: '127.0.0.1:0',
    DOMUS_ROLES: roles,
    DOMUS_ADMIN_TOKEN_FILE: join(dataDir, 'admin.token'),
    DOMUS_SECRET_KEY_FILE: join(dataDir, 'secret.key'),
  });

const status = async (server: RunningServer, path: string, token?: string): Promise<number> => {
  const headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
  return (await fetch(`${server.addresses.url}${path}`, { headers })).status;
};

describe('the server', () => {
  it('migrates once however many replicas start, says where it is, and ends within its time', async () => {
    const database = await freshDatabase();
    const servers = await Promise.all([
      startServer(config(database.url), log),
      startServer(config(database.url), log),
      startServer(config(database.url, 'worker'), log),
    ]);
    const [first, second, worker] = servers;
    if (!first || !second || !worker) throw new Error('Three were started.');
    expect(lines.filter(({ msg }) => msg === 'the database was migrated')).toHaveLength(1);

    const file = join(dataDir, 'run', 'server.json');
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(JSON.parse(readFileSync(file, 'utf8'))).toMatchObject({ pid: process.pid });
    expect(worker.addresses).not.toHaveProperty('url');
    expect(worker.addresses).not.toHaveProperty('enrolUrl');
    expect(first.addresses.enrolUrl).toMatch(/^https:\/\/127\.0\.0\.1:\d+$/);

    // Made at the first start, for its owner alone; good on every replica.
    const tokenFile = join(dataDir, 'admin.token');
    expect(statSync(tokenFile).mode & 0o777).toBe(0o600);
    const token = readFileSync(tokenFile, 'utf8').trim();
    for (const server of [first, second]) {
      expect(await status(server, '/readyz')).toBe(200);
      expect(await status(server, '/v1/pools', token)).toBe(200);
      expect(await status(server, '/v1/pools')).toBe(401);
    }
    const metrics = await (await fetch(first.addresses.metricsUrl)).text();
    expect(metrics).toMatch(
      /domus_http_request_seconds_count\{method="GET",route="\/v1\/pools",status="200"\} 1/,
    );
    expect(metrics).not.toContain(token);

    const began = performance.now();
    await Promise.all(servers.map((server) => server.stop()));
    expect(performance.now() - began).toBeLessThan(5_000);
    await expect(fetch(`${first.addresses.url}/healthz`)).rejects.toThrow();
    await database.drop();
  }, 120_000);

  it('waits for a database that is not there yet, and says so', async () => {
    const postgres = await startPostgres();
    await postgres.kill();
    const before = lines.length;
    const starting = startServer(config(postgres.url, 'api'), log);
    await eventually(async () => lines.slice(before).some(({ msg }) => /waiting for it/.test(String(msg))), {
      what: 'the line that says so',
    });
    await postgres.restart();
    const server = await starting;
    expect(await status(server, '/readyz')).toBe(200);
    await server.stop();
    await postgres.stop();
  }, 120_000);

  it('leaves nothing running when it cannot start', async () => {
    const database = await freshDatabase();
    const taken = await startServer(config(database.url, 'api'), log);
    const port = new URL(String(taken.addresses.url)).port;
    const same = { ...config(database.url, 'api'), listen: { host: '127.0.0.1', port: Number(port) } };
    await expect(startServer(same, log)).rejects.toThrow(/EADDRINUSE/);
    await taken.stop();
    await database.drop();
  }, 120_000);
});
