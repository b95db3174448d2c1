import { ConfigError } from './config/read-config.js';
import { readLauncherConfig } from './config/launcher.config.js';
import { parseCommand, runCommand, usage } from './launcher/cli.js';
import { exitCode, LauncherError } from './launcher/launcher-error.js';

const terminal = {
  out: (line: string) => void process.stdout.write(`${line}\n`),
  note: (line: string) => void process.stderr.write(`domus: ${line}\n`),
};

try {
  const command = parseCommand(process.argv.slice(2));
  process.exitCode = await runCommand(command, { config: readLauncherConfig(), terminal });
} catch (error) {
  if (error instanceof LauncherError) {
    terminal.note(error.message);
    if (error.code === exitCode.usage) process.stderr.write(`\n${usage}\n`);
    process.exitCode = error.code;
  } else if (error instanceof ConfigError) {
    terminal.note(error.message);
    process.exitCode = exitCode.usage;
  } else {
    // A bug or a refusal by the server: the stack is for whoever reports it.
    terminal.note(error instanceof Error ? (error.stack ?? error.message) : String(error));
    process.exitCode = exitCode.failed;
  }
}
