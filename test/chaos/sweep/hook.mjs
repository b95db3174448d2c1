import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  writeFileSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath, URL } from 'node:url';

/**
 * Arms the failpoints of the server or agent that is about to start: `node --import <this> dist/src/main.server.js`. Speaks with the
 * sweep (`signals.ts`) in files, all written and read at once, so that what a killed process has said is there, and what
 * it was asked is done by one process only. The programs themselves know nothing of it.
 */
const folder = process.env['DOMUS_SWEEP_FOLDER'];
if (folder === undefined) throw new Error('DOMUS_SWEEP_FOLDER says where to speak with the sweep.');
const program = basename(process.cwd());
const roles = (process.env['DOMUS_ROLES'] ?? 'agent').split(',');
const own = roles.includes('api') ? 'server' : roles.includes('worker') ? 'worker' : 'agent';
const log = join(folder, 'passings', `${program}.jsonl`);
mkdirSync(join(folder, 'passings'), { recursive: true });

const known = new Map();

/** What an operation is: the process that accepts it has left it here. */
function subjectOf({ operationId, kind, target }) {
  const file = join(folder, 'operations', operationId);
  if (kind !== undefined && target !== undefined && !known.has(operationId)) {
    writeFileSync(file, JSON.stringify({ kind, targetId: target.id }));
  }
  if (!known.has(operationId)) {
    // What no way began (the autostart after a boot, a child): nobody has a plan for it.
    if (!existsSync(file)) return undefined;
    known.set(operationId, JSON.parse(readFileSync(file, 'utf8')));
  }
  return known.get(operationId);
}

/** The first plan that this fits, taken: a rename succeeds once. */
function take(targetId, fits) {
  const plans = join(folder, 'plans', targetId);
  if (!existsSync(plans)) return undefined;
  for (const name of readdirSync(plans).sort()) {
    const file = join(plans, name);
    try {
      const plan = JSON.parse(readFileSync(file, 'utf8'));
      if (!fits(plan)) continue;
      renameSync(file, join(folder, 'taken', plan.id));
      return plan;
    } catch (error) {
      if (error.code !== 'ENOENT') throw error;
    }
  }
  return undefined;
}

async function pass(name, passing) {
  const subject = subjectOf(passing);
  if (!subject) return 'pass';
  const role = name.startsWith('relay.') ? 'relay' : own;
  const point = passing.step === undefined ? name : `${name}:${passing.step.replaceAll(' ', '-')}`;
  const { kind, targetId } = subject;
  appendFileSync(log, `${JSON.stringify({ at: Date.now(), kind, targetId, role, point, program })}\n`);
  const plan = take(targetId, (one) => one.kind === kind && one.role === role && one.point === point);
  if (!plan) return 'pass';
  const hit = join(folder, 'hits', plan.id);
  writeFileSync(`${hit}.draft`, JSON.stringify({ program, pid: process.pid }));
  renameSync(`${hit}.draft`, `${hit}.json`);
  if (plan.act === 'fail') throw new Error('The sweep wanted this to fail.');
  if (plan.act === 'drop' || plan.act === 'duplicate') return plan.act;
  // `hold`, `kill`, `pause`, `flush`: stands here until the sweep lets it go, or has killed it.
  while (!existsSync(join(folder, 'released', plan.id))) await delay(10);
  return 'pass';
}

const built = (file) => import(fileURLToPath(new URL(`../../../dist/src/${file}`, import.meta.url)));
const { armFailpoints } = await built('kernel/failpoint.js');
armFailpoints(pass);

/** Operations of these kinds have less time than their definitions give them, so that what hangs is soon in doubt. */
const hurried = JSON.parse(process.env['DOMUS_SWEEP_HURRIED'] ?? '{}');
if (own !== 'agent') {
  const { OperationRegistry } = await built('kernel/operations/registry.js');
  const { deadlines } = OperationRegistry.prototype;
  OperationRegistry.prototype.deadlines = function () {
    return { ...deadlines.call(this), ...hurried };
  };
}
