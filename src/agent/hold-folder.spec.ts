import { mkdtemp, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { holdFolder } from './hold-folder.js';

describe('the folder of an agent', () => {
  it('belongs to one agent at a time, by whatever path it is named', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'domus-hold-'));
    const alias = `${folder}.alias`;
    await symlink(folder, alias);
    try {
      const letGo = await holdFolder(folder);
      await expect(holdFolder(alias)).rejects.toThrow(/Another agent works in/);
      await letGo();
      await (
        await holdFolder(alias)
      )();
    } finally {
      await rm(alias);
      await rm(folder, { recursive: true });
    }
  });
});
