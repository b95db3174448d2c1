import { existsSync, globSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { projectRoot } from '../../../src/launcher/project-root.js';

export interface ProgramFile {
  /** Below the folder in which the program is laid, as below the repository. */
  readonly path: string;
  readonly data: Buffer;
}

/**
 * The agent as a host needs it: what `dist/src/main.agent.js` reaches by its imports, and the packages among them with
 * all that they depend on. Nothing of the server comes with it: 5 MB instead of 500.
 */
export function agentProgram(root = projectRoot): ProgramFile[] {
  const main = join(root, 'dist/src/main.agent.js');
  if (!existsSync(main)) throw new Error(`${main} is missing: build first (./domus help).`);
  const packages = new Map<string, string>();
  const own = new Set<string>();
  const follow = (file: string): void => {
    if (own.has(file)) return;
    own.add(file);
    for (const name of importsOf(readFileSync(file, 'utf8'))) {
      if (name.startsWith('.')) follow(join(dirname(file), name));
      else if (!name.startsWith('node:')) addPackage(packages, packageOf(name), root);
    }
  };
  follow(main);
  const files = [...own, ...[...packages.values()].flatMap(filesOfPackage)];
  return [
    { path: 'package.json', data: Buffer.from('{"type":"module"}\n') },
    ...files.map((file) => ({ path: relative(root, file), data: readFileSync(file) })),
  ];
}

/** What compiled code imports; a comment that looks like an import only brings a file too many. */
export const importsOf = (code: string): string[] =>
  [...code.matchAll(/(?:\bfrom|\bimport)\s*\(?\s*['"]([^'"\n]+)['"]/g)].map((match) => match[1] ?? '');

const packageOf = (specifier: string): string =>
  specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/');

function addPackage(found: Map<string, string>, name: string, from: string): void {
  const folder = nearest(name, from);
  if (folder === undefined || found.has(folder)) return;
  found.set(folder, folder);
  const { dependencies = {} } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as {
    dependencies?: Record<string, string>;
  };
  for (const dependency of Object.keys(dependencies)) addPackage(found, dependency, folder);
}

/** As Node resolves it: in the nearest node_modules above. An optional package may be nowhere. */
function nearest(name: string, from: string): string | undefined {
  const folder = join(from, 'node_modules', name);
  if (existsSync(join(folder, 'package.json'))) return folder;
  const above = dirname(from);
  return above === from ? undefined : nearest(name, above);
}

const filesOfPackage = (folder: string): string[] =>
  globSync('**/*.{js,cjs,mjs,json}', {
    cwd: folder,
    exclude: (name) => /^(node_modules|test|tests|bench|benchmarks|docs|examples|src)$/.test(name),
  }).map((name) => join(folder, name));
