import { existsSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { dataFolder } from '../../src/launcher/data-folder.js';
import { withDataLock } from '../../src/launcher/data-lock.js';
import { exitCode, LauncherError, notRunning } from '../../src/launcher/launcher-error.js';
import { StandingLab, type StandingStatus } from './standing.js';

/** Run by `./domus lab`, which has read the words of the command line already. */
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    data: { type: 'string', default: './.domus' },
    xen: { type: 'string', default: '1' },
    plain: { type: 'string', default: '0' },
    systemd: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
  },
});
const note = (line: string): void => void process.stderr.write(`domus: ${line}\n`);
const out = (line: string): void => void process.stdout.write(`${line}\n`);

async function perform(action: string | undefined): Promise<number> {
  const folder = dataFolder(values.data);
  if (!existsSync(folder.run))
    throw notRunning(`Domus does not run on ${folder.path}; "domus up" starts it.`);
  const lab = new StandingLab(folder, note);
  if (action === 'status') {
    const hosts = lab.status();
    if (values.json) out(JSON.stringify({ hosts }));
    else hosts.forEach((host) => out(lineOf(host)));
    return hosts.some(({ state }) => state === 'running') ? exitCode.done : exitCode.notRunning;
  }
  return withDataLock(folder, note, async () => {
    if (action === 'down') {
      const ended = await lab.down();
      note(ended === 0 ? 'no host of the lab ran.' : `hosts switched off: ${ended}`);
      return exitCode.done;
    }
    const { xen, plain, systemd } = values;
    const hosts = await lab.up({ xen: Number(xen), plain: Number(plain), systemd });
    hosts.forEach((host) => out(lineOf(host)));
    return exitCode.done;
  });
}

const lineOf = ({ name, state, pid, agent, ssh }: StandingStatus): string =>
  `${name.padEnd(9)}${state.padEnd(9)}${String(pid ?? '').padEnd(9)}agent ${agent}  ${ssh}`;

try {
  process.exitCode = await perform(positionals[0]);
} catch (error) {
  if (!(error instanceof LauncherError)) throw error;
  note(error.message);
  process.exitCode = error.code;
}
