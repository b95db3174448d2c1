import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

const folder = import.meta.dirname;
const programs = readdirSync(folder).filter((file) => file.endsWith('.config.ts'));
const variables = new Set(
  programs.flatMap((file) =>
    [...readFileSync(join(folder, file), 'utf8').matchAll(/^ {4}([A-Z][A-Z0-9_]+): /gm)].map(
      (match) => match[1],
    ),
  ),
);
/** Set by the system, not by an operator of Domus. */
const ofTheMachine = new Set(['PATH', 'XDG_RUNTIME_DIR']);
const rows = [
  ...readFileSync(join(folder, '../../README.md'), 'utf8').matchAll(/^\| `([A-Z][A-Z0-9_]+)` /gm),
];
const documented = new Set(rows.map((match) => match[1]));

describe('the configuration table of README.md', () => {
  it('has every variable that a program reads', () => {
    expect(programs.length).toBeGreaterThanOrEqual(3);
    expect([...variables].filter((name) => !documented.has(name) && !ofTheMachine.has(name ?? ''))).toEqual(
      [],
    );
  });

  it('has no variable that nobody reads', () => {
    expect([...documented].filter((name) => !variables.has(name))).toEqual([]);
  });
});
