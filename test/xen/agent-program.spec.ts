import { execFile } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { scratchFolder } from '../support/scratch-folder.js';
import { agentProgram, importsOf } from '../lab/boot/agent-program.js';

describe('the agent as it is laid on a host', () => {
  it('is whole: it starts where nothing else of the project is, and says what it misses', async () => {
    const scratch = scratchFolder('agent-program');
    try {
      for (const { path, data } of agentProgram()) {
        mkdirSync(dirname(join(scratch.path, path)), { recursive: true });
        writeFileSync(join(scratch.path, path), data);
      }
      const main = join(scratch.path, 'dist/src/main.agent.js');
      const ended = promisify(execFile)(process.execPath, [main], { env: {}, cwd: '/' });
      await expect(ended).rejects.toMatchObject({
        code: 2,
        stderr: expect.stringContaining('DOMUS_DATA_DIR'),
      });
    } finally {
      scratch.remove();
    }
  });

  it('brings nothing of the server', () => {
    const paths = agentProgram().map(({ path }) => path);
    expect(paths.filter((path) => /typeorm|@nestjs|bullmq|src\/modules|\.map$/.test(path))).toEqual([]);
  });

  it('is found by what compiled code imports', () => {
    const code = `import { a } from './a.js';\nexport * from "b";\nimport 'c';\nconst d = await import('d/e');`;
    expect(importsOf(code)).toEqual(['./a.js', 'b', 'c', 'd/e']);
  });
});
