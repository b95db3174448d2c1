import { existsSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

/**
 * The folder of one run of jest: what is slow to start is started there by the first test file that asks, and ended
 * with the run (run-folder.ts). Plain JavaScript, since jest resolves nothing for global setups.
 */
const prefix = 'domus-run-';

export async function setUp() {
  for (const name of readdirSync(tmpdir()).filter((entry) => entry.startsWith(prefix))) {
    const owner = name.slice(prefix.length).split('-')[0];
    // Two runs that begin together clear the same left-overs: what the other has removed is done.
    if (!existsSync(`/proc/${owner}`)) await endServices(join(tmpdir(), name)).catch(unlessGone);
  }
  process.env.DOMUS_TEST_RUN ??= mkdtempSync(join(tmpdir(), `${prefix}${process.pid}-`));
}

function unlessGone(error) {
  if (error.code !== 'ENOENT') throw error;
}

export async function tearDown() {
  const run = process.env.DOMUS_TEST_RUN;
  delete process.env.DOMUS_TEST_RUN;
  if (run && existsSync(run)) await endServices(run);
}

const pidFiles = ['d/postgres/data/postmaster.pid', 'd/data/postmaster.pid', 'redis.pid'];
const programs = ['postgres', 'redis-server', 'redis-check-rdb'];

/** Ends the services of a run, its own or one that was killed before it could, and removes its folder. */
async function endServices(run) {
  // Another run may be tidying up after the same dead one.
  if (!existsSync(run)) return;
  for (const service of readdirSync(run)) {
    for (const file of pidFiles) await endByPidFile(join(run, service, file));
  }
  rmSync(run, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 });
}

async function endByPidFile(file) {
  if (!existsSync(file)) return;
  const pid = Number(readFileSync(file, 'utf8').split('\n')[0]);
  if (!programs.includes(programOf(pid))) return;
  process.kill(pid, 'SIGINT');
  for (let waited = 0; programs.includes(programOf(pid)); waited += 20) {
    if (waited >= 5_000) process.kill(pid, 'SIGKILL');
    await delay(20);
  }
}

function programOf(pid) {
  try {
    return basename(readlinkSync(`/proc/${pid}/exe`));
  } catch {
    return undefined;
  }
}
