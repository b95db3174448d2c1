import { execFile } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { projectRoot } from '../../src/launcher/project-root.js';
import { scratchFolder } from '../support/scratch-folder.js';

/** A clone in small: the real script, and an npm and a compiler that only say that they were called. */
class Clone {
  private readonly scratch = scratchFolder('script');
  readonly root = join(this.scratch.path, 'a clone');
  private readonly tools = join(this.scratch.path, 'tools');
  private readonly calls = join(this.scratch.path, 'calls');

  constructor(nodeVersion = 'v20.1.0') {
    this.write('package.json', '{}');
    this.write('package-lock.json', '{"lock": 1}');
    this.write('tsconfig.json', '{}');
    this.write('src/main.cli.ts', '1');
    copyFileSync(join(projectRoot, 'domus'), join(this.root, 'domus'));
    mkdirSync(this.tools);
    this.tool('node', `#!/bin/sh\necho ${nodeVersion}\n`);
    this.tool(
      'npm',
      `#!/bin/sh
[ "$1" = --version ] && exit 0
echo "npm $*" >>'${this.calls}'
rm -rf node_modules && mkdir -p node_modules/.bin node_modules/@nestjs/cli/bin
ln -s '${process.execPath}' node_modules/.bin/node
cat >node_modules/@nestjs/cli/bin/nest.js <<'END'
const fs = require('node:fs');
fs.appendFileSync(${JSON.stringify(this.calls)}, 'build\\n');
if (fs.existsSync('src/broken.ts')) process.exit(1);
fs.mkdirSync('dist/src', { recursive: true });
for (const file of fs.readdirSync('src')) fs.writeFileSync('dist/src/' + file.replace('.ts', '.js'), 'console.log(JSON.stringify(process.argv.slice(2)))');
END
sleep 0.2
`,
    );
  }

  write(path: string, text: string): void {
    mkdirSync(dirname(join(this.root, path)), { recursive: true });
    writeFileSync(join(this.root, path), text);
  }

  has = (path: string): boolean => existsSync(join(this.root, path));
  path = (...parts: string[]): string => join(this.scratch.path, ...parts);
  remove = (): void => this.scratch.remove();

  /** What was called since the last time we asked. */
  called(): string[] {
    const lines = existsSync(this.calls) ? readFileSync(this.calls, 'utf8').trim().split('\n') : [];
    rmSync(this.calls, { force: true });
    return lines.map((line) => line.split(' ').slice(0, 2).join(' '));
  }

  run(
    args: string[] = [],
    options: { script?: string; cwd?: string; env?: Record<string, string> } = {},
  ): Promise<{ code: number; out: string; err: string }> {
    const env = { PATH: `${this.tools}:/usr/bin:/bin`, ...options.env };
    return new Promise((resolve) => {
      execFile(
        options.script ?? join(this.root, 'domus'),
        args,
        { cwd: options.cwd ?? '/', env },
        (error, out, err) => resolve({ code: error ? Number(error.code) : 0, out, err }),
      );
    });
  }

  private tool(name: string, text: string): void {
    writeFileSync(join(this.tools, name), text);
    chmodSync(join(this.tools, name), 0o755);
  }
}

describe('./domus', () => {
  let clone: Clone;
  beforeEach(() => (clone = new Clone()));
  afterEach(() => clone.remove());

  it('installs and builds once, and then passes everything on without a word', async () => {
    const first = await clone.run(['up', '--data', 'a b']);
    expect(first).toMatchObject({ code: 0, out: '["up","--data","a b"]\n' });
    expect(clone.called()).toEqual(['npm ci', 'build']);
    expect(await clone.run(['status'])).toEqual({ code: 0, out: '["status"]\n', err: '' });
    expect(clone.called()).toEqual([]);
  });

  it('works from anywhere, through links, with spaces in its path', async () => {
    mkdirSync(clone.path('x y'));
    symlinkSync('../a clone/domus', clone.path('x y', 'one'));
    symlinkSync('one', clone.path('x y', 'two'));
    const { code, out } = await clone.run(['status'], { script: clone.path('x y', 'two'), cwd: '/tmp' });
    expect([code, out]).toEqual([0, '["status"]\n']);
  });

  it('installs again when the lock changed, and builds again', async () => {
    await clone.run();
    clone.called();
    clone.write('package-lock.json', '{"lock": 2}');
    await clone.run();
    expect(clone.called()).toEqual(['npm ci', 'build']);
  });

  it.each([
    ['edited', (c: Clone) => c.write('src/main.cli.ts', '2')],
    ['added', (c: Clone) => c.write('src/more.ts', '1')],
    [
      'replaced by an older one of another size',
      (c: Clone) => {
        c.write('src/main.cli.ts', 'older');
        utimesSync(join(c.root, 'src/main.cli.ts'), 1, 1);
      },
    ],
  ])('builds again when a source was %s', async (_, change) => {
    await clone.run();
    clone.called();
    change(clone);
    await clone.run();
    expect(clone.called()).toEqual(['build']);
  });

  it('leaves nothing of a removed source, and does not build for a test', async () => {
    clone.write('src/gone.ts', '1');
    await clone.run();
    clone.called();
    clone.write('src/a.spec.ts', '1');
    await clone.run();
    expect(clone.called()).toEqual([]);
    rmSync(join(clone.root, 'src/gone.ts'));
    await clone.run();
    expect([clone.called(), clone.has('dist/src/gone.js')]).toEqual([['build'], false]);
  });

  it('does the work once when two start at the same moment', async () => {
    const both = await Promise.all([clone.run(['a']), clone.run(['b'])]);
    expect(both.map(({ code, out }) => [code, out])).toEqual([
      [0, '["a"]\n'],
      [0, '["b"]\n'],
    ]);
    expect(clone.called()).toEqual(['npm ci', 'build']);
  });

  it('tries a failed build again, and says so', async () => {
    clone.write('src/broken.ts', '1');
    expect(await clone.run()).toMatchObject({ code: 1, err: expect.stringContaining('The build failed') });
    rmSync(join(clone.root, 'src/broken.ts'));
    expect((await clone.run()).code).toBe(0);
  });

  it('never installs when DOMUS_NO_INSTALL forbids it', async () => {
    const { code, err } = await clone.run([], { env: { DOMUS_NO_INSTALL: '1' } });
    expect([code, clone.called()]).toEqual([4, []]);
    expect(err.trim().split('\n')).toEqual([expect.stringContaining('DOMUS_NO_INSTALL forbids npm ci')]);
    await clone.run();
    expect((await clone.run(['status'], { env: { DOMUS_NO_INSTALL: '1' } })).code).toBe(0);
  });

  it('never installs into a node_modules that is a link', async () => {
    await clone.run();
    renameSync(join(clone.root, 'node_modules'), clone.path('elsewhere'));
    symlinkSync(clone.path('elsewhere'), join(clone.root, 'node_modules'));
    clone.called();
    clone.write('package-lock.json', '{"lock": 3}');
    expect((await clone.run()).code).toBe(0);
    expect(clone.called()).toEqual(['build']);
  });
});

describe('./domus with too old a Node', () => {
  it.each(['v16.20.0', 'nonsense'])('(%s) says in one sentence what it needs', async (version) => {
    const clone = new Clone(version);
    const { code, err } = await clone.run();
    expect([code, clone.called()]).toEqual([4, []]);
    expect(err.trim().split('\n')).toEqual([expect.stringContaining('Node 18 or newer with npm')]);
    clone.remove();
  });
});
