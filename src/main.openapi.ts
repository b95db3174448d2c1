import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describeFaces } from './server/describe-faces.js';

/** `main.openapi.js FOLDER`: writes openapi.json, schema.graphql and errors.json there. Needs no database and no port. */
const [folder] = process.argv.slice(2);
if (folder === undefined) {
  process.stderr.write('usage: main.openapi.js FOLDER\n');
  process.exit(2);
}
await mkdir(folder, { recursive: true });
for (const [name, text] of Object.entries(await describeFaces())) await writeFile(join(folder, name), text);
process.exit(0);
