import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { projectRoot } from '../../../src/launcher/project-root.js';

/** Every operation that the modules define, with its steps: read from the sources, so that nothing has to be listed anew. */
export function definedOperations(): { kind: string; steps: string[] }[] {
  const modules = join(projectRoot, 'src/modules');
  return readdirSync(modules, { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts') && !file.endsWith('.spec.ts'))
    .flatMap((file) => {
      const text = readFileSync(join(modules, file), 'utf8');
      const begun = text.split('defineOperation({').length - 1;
      const found = [
        ...text.matchAll(/defineOperation\(\{\s*name: '([^']+)'[\s\S]*?\n {2}steps: \[([^\]]*)\]/g),
      ];
      if (found.length !== begun)
        throw new Error(`${file} defines an operation whose name and steps cannot be read.`);
      return found.map(([, kind = '', steps = '']) => ({
        kind,
        steps: [...steps.matchAll(/'([^']+)'/g)].map(([, step = '']) => step),
      }));
    });
}
