import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { projectRoot } from '../../src/launcher/project-root.js';
import { DomusCommand } from '../support/domus-command.js';
import { eventually } from '../support/eventually.js';
import { describeUnless } from '../support/skippable.js';

const readme = readFileSync(join(projectRoot, 'README.md'), 'utf8');
const tour = /^## A tour$([\s\S]*?)^## /m.exec(readme)?.[1] ?? '';
const blocks = [...tour.matchAll(/^```sh\n([\s\S]*?)^```$/gm)].map((match) => match[1] ?? '');
const curl = (process.env['PATH'] ?? '').split(':').some((folder) => existsSync(join(folder, 'curl')));

describeUnless(curl ? null : 'there is no curl', 'the tour of README.md', () => {
  const domus = new DomusCommand();
  beforeAll(() => domus.up('--simulate', '--demo'), 120_000);
  afterAll(() => domus.remove(), 60_000);

  it('can be typed as it stands, and nothing in it is refused', async () => {
    const { url } = await domus.status();
    const typed = blocks
      .join('\n')
      .replace('http://127.0.0.1:8080', url ?? '')
      .replace('.domus/admin.token', join(domus.data, 'admin.token'));
    const shell = spawn('sh', ['-euc', typed], { cwd: projectRoot, stdio: ['pipe', 'pipe', 'pipe'] });
    // What leaves the console, when it comes to that.
    shell.stdin.end('\x1d');
    let said = '';
    for (const stream of [shell.stdout, shell.stderr]) stream.on('data', (chunk) => (said += String(chunk)));
    const [code] = (await once(shell, 'exit')) as [number];
    expect(said).not.toContain('urn:domus:problem');
    expect([code, code === 0 ? '' : said]).toEqual([0, '']);
    expect(said).toContain('event: domain.state_changed');
    expect(said).toContain('"kind":"domain.delete"');
    const tourGone = async () => !(await domus.status()).domains.some(({ name }) => name === 'tour');
    await eventually(tourGone, { within: 40_000, what: 'the shutdown and removal of the tour' });
  }, 60_000);
});
