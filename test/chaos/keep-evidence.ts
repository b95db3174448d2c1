import { cpSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { projectRoot } from '../../src/launcher/project-root.js';
import { type Arena } from './arena.js';
import { type Violation } from './history-checker.js';

/** What somebody looks at who wants to know why: history, tables, logs. To be called while the arena still stands; answers where it is. */
export function keepEvidence(arena: Arena, seed: number, violations: readonly Violation[]): string {
  const name = `${new Date().toISOString().replace(/[:.]/g, '-')}-seed-${seed}`;
  const folder = join(projectRoot, '.domus', 'chaos', name);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  for (const part of ['history', 'logs']) {
    const from = join(arena.folder, part);
    if (existsSync(from)) cpSync(from, join(folder, part), { recursive: true });
  }
  writeFileSync(
    join(folder, 'violations.jsonl'),
    violations.map((one) => `${JSON.stringify(one)}\n`).join(''),
  );
  process.stderr.write(`domus: history, tables and logs are kept in ${folder}\n`);
  return folder;
}
