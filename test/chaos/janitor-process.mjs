/**
 * Outlives whoever runs the fault harness, however that ends: what the harness started and the folders that it made are told
 * to this process over its standard input (`pid <pid> <start tick>`, `folder <path>`, `mount <path>`), and when that closes it ends the ones
 * and removes the others. It says what it still had to end: after an orderly end, nothing.
 */
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';

const started = new Map();
const folders = new Set();
const mounts = new Set();

for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(name, () => undefined);
for await (const line of createInterface({ input: process.stdin })) {
  const [word, what, tick] = line.split(' ');
  if (word === 'pid') started.set(what, tick);
  if (word === 'folder') folders.add(line.slice('folder '.length));
  if (word === 'mount') mounts.add(line.slice('mount '.length));
}
for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name)))
  if (isGuest(pid)) started.set(pid, tickOf(pid));
const left = [...started.keys()].filter(lives);
for (const pid of left) process.kill(Number(pid), 'SIGKILL');
for (let waited = 0; left.some(lives) && waited < 5_000; waited += 20) await delay(20);
for (const mount of mounts) spawnSync('umount', ['--lazy', mount], { stdio: 'ignore' });
for (const folder of folders)
  rmSync(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 });
process.stdout.write(JSON.stringify(left.map(Number)), () => process.exit(0));

/** Never a later process with the same number. */
function lives(pid) {
  return tickOf(pid) !== undefined && tickOf(pid) === started.get(pid);
}

/** When it was started; undefined when it is gone. */
function tickOf(pid) {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1).split(' ');
    return fields[0] === 'Z' ? undefined : fields[19];
  } catch {
    return undefined;
  }
}

/** A QEMU with one of our folders in its command line: agents start them, and they outlive agents. */
function isGuest(pid) {
  try {
    const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
    return (
      words.includes('-uuid') &&
      [...folders].some((folder) => words.some((word) => word.includes(`${folder}/`)))
    );
  } catch {
    return false;
  }
}
