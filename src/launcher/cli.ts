import { parseArgs } from 'node:util';
import type { Command, CommandContext } from './command.js';
import { exitCode, usageError } from './launcher-error.js';

export const usage = `Usage: domus <command> [options]

  up [--data DIR] [--port N] [--demo] [--detach] [--simulate]
                        start what is missing and print the ready line; in the foreground Ctrl-C is "down"
  down [--guests]       end server, agent and PostgreSQL; guests run on unless --guests shuts them down first
  status [--json]       what runs, and the domains
  logs [NAME] [-f]      server, agent or postgres
  backup FILE           write everything the database holds into FILE
  restore FILE [--force]
                        read it back into an empty database; --force gives up what it holds
  test [SUITE…]         unit, integration, e2e, qemu; xen, xen-exam and chaos only where they are named
  bench [NAME…] [--rounds N]
                        side-by-side benchmarks
  chaos [--kills N] [--operations N] [--seed S] [--hosts N] [--queue postgres|redis] [--qemu]
                        kill every part under load, by a schedule that the seed decides, and judge what came of it
  chaos --sweep [--seed S] [--only CASE] [--share N]
                        hit every crash point of every operation, or those that CASE names, or N of them
  lab up [--xen N] [--plain N] [--systemd]
                        boot emulated machines with Xen, or without, as hosts of the pool that runs on DIR
  lab down              switch them off; their disks and who they are stay, for the next "lab up"
  lab status [--json]   which of them run, and how to get in
  openapi               write openapi/ anew

  --data DIR            the data folder, ./.domus unless given
  --port N              the port on 127.0.0.1, 8080 unless given; 0 takes any free one

Exit codes: 0 done, 1 failed, 2 usage, 3 not running, 4 something missing.`;

const data = { type: 'string', default: './.domus' } as const;
const flag = { type: 'boolean', default: false } as const;

/** From argv to a command; every mistake is a usage error with one sentence. */
export function parseCommand(argv: string[]): Command {
  const [name, ...rest] = argv;
  switch (name) {
    case 'up': {
      const { values } = parse(rest, 0, {
        data,
        port: { type: 'string' },
        demo: flag,
        detach: flag,
        simulate: flag,
      });
      const { port, ...others } = values;
      return { name, ...others, port: parsePort(port ?? '8080'), portGiven: port !== undefined };
    }
    case 'down':
      return { name, ...parse(rest, 0, { data, guests: flag }).values };
    case 'status':
      return { name, ...parse(rest, 0, { data, json: flag }).values };
    case 'logs': {
      const { values, positionals } = parse(rest, 1, { data, follow: { ...flag, short: 'f' } });
      const part = positionals[0];
      if (part !== undefined && !/^[a-z0-9][a-z0-9.-]*$/.test(part))
        throw usageError(`There is no log ${part}.`);
      return { name, ...values, part };
    }
    case 'test':
      return { name, suites: parse(rest, Infinity, {}).positionals };
    case 'bench': {
      const { values, positionals } = parse(rest, Infinity, { rounds: { type: 'string' } });
      return { name, names: positionals, rounds: parseRounds(values.rounds) };
    }
    case 'chaos': {
      const text = { type: 'string' } as const;
      const load = { kills: text, operations: text, hosts: text, queue: text, qemu: flag };
      const options = { ...load, seed: text, sweep: flag, only: text, share: text };
      const { values } = parse(rest, 0, options);
      const { kills, operations, seed, hosts, queue = 'redis', qemu, sweep, only, share } = values;
      if (sweep && [kills, operations, hosts, values.queue].some((value) => value !== undefined))
        throw usageError('--sweep takes --seed, --only and --share.');
      if (!sweep && (only ?? share) !== undefined) throw usageError('--only and --share go with --sweep.');
      if (queue !== 'redis' && queue !== 'postgres')
        throw usageError(`--queue takes postgres or redis, not ${queue}.`);
      return {
        name,
        kills: parseCount('--kills', kills, 0, 100_000) ?? 100,
        operations: parseCount('--operations', operations, 1, 1_000_000),
        seed: parseCount('--seed', seed, 0, 2 ** 32 - 1),
        hosts: parseCount('--hosts', hosts, 1, 100) ?? 8,
        queue,
        qemu,
        sweep,
        only,
        share: parseCount('--share', share, 1, 100_000),
      };
    }
    case 'backup': {
      const { values, positionals } = parse(rest, 1, { data });
      return { name, ...values, file: required(positionals[0]) };
    }
    case 'restore': {
      const { values, positionals } = parse(rest, 1, { data, force: flag });
      return { name, ...values, file: required(positionals[0]) };
    }
    case 'lab':
      return parseLab(rest);
    case 'openapi':
      parse(rest, 0, {});
      return { name };
    case 'help':
    case '--help':
    case '-h':
      return { name: 'help' };
    case undefined:
      throw usageError('Name a command.');
    default:
      throw usageError(`There is no command ${name}.`);
  }
}

function parseLab([action, ...options]: string[]): Command {
  const text = { type: 'string' } as const;
  const common = { name: 'lab', xen: 0, plain: 0, systemd: false, json: false } as const;
  switch (action) {
    case 'up': {
      const { values } = parse(options, 0, { data, xen: text, plain: text, systemd: flag });
      const plain = parseCount('--plain', values.plain, 0, 8);
      const xen = parseCount('--xen', values.xen, 0, 8) ?? (plain === undefined ? 1 : 0);
      return { ...common, ...values, action, xen, plain: plain ?? 0 };
    }
    case 'down':
      return { ...common, ...parse(options, 0, { data }).values, action };
    case 'status':
      return { ...common, ...parse(options, 0, { data, json: flag }).values, action };
    default:
      throw usageError('lab takes up, down or status.');
  }
}

type Options = NonNullable<Parameters<typeof parseArgs>[0]>['options'];

function parse<const O extends NonNullable<Options>>(args: string[], atMost: number, options: O) {
  try {
    const parsed = parseArgs({ args, options, strict: true, allowPositionals: true });
    if (parsed.positionals.length > atMost)
      throw new Error(`Unexpected argument '${parsed.positionals[atMost]}'.`);
    return parsed;
  } catch (error) {
    throw usageError(
      (error as Error).message.split('. ')[0]?.replace(/\.?$/, '.') ?? 'These arguments are wrong.',
    );
  }
}

function parsePort(text: string): number {
  const port = Number(text);
  if (!/^\d+$/.test(text) || port > 65_535)
    throw usageError(`--port takes a number from 0 to 65535, not ${text}.`);
  return port;
}

function parseRounds(text: string | undefined): number | undefined {
  if (text === undefined || /^[1-9]\d{0,4}$/.test(text)) return text === undefined ? text : Number(text);
  throw usageError(`--rounds takes a number from 1, not ${text}.`);
}

function parseCount(
  option: string,
  text: string | undefined,
  least: number,
  most: number,
): number | undefined {
  if (text === undefined) return undefined;
  const count = Number(text);
  if (/^\d{1,10}$/.test(text) && count >= least && count <= most) return count;
  throw usageError(`${option} takes a number from ${least} to ${most}, not ${text}.`);
}

function required(file: string | undefined): string {
  if (file === undefined || file === '') throw usageError('Name a file.');
  return file;
}

/** Runs one command; its answer is the exit code. Each is loaded only when it is asked for: `status` should not wait for jest. */
export async function runCommand(command: Command, context: CommandContext): Promise<number> {
  switch (command.name) {
    case 'up':
      return (await import('./commands/up.js')).up(command, context);
    case 'down':
      return (await import('./commands/down.js')).down(command, context);
    case 'status':
      return (await import('./commands/status.js')).status(command, context);
    case 'logs':
      return (await import('./commands/logs.js')).logs(command, context);
    case 'test':
      return (await import('./commands/test.js')).test(command, context);
    case 'bench':
      return (await import('./commands/bench.js')).bench(command, context);
    case 'chaos':
      return (await import('./commands/chaos.js')).chaos(command, context);
    case 'backup':
      return (await import('./commands/backup.js')).backup(command, context);
    case 'restore':
      return (await import('./commands/restore.js')).restore(command, context);
    case 'lab':
      return (await import('./commands/lab.js')).lab(command, context);
    case 'openapi':
      return (await import('./commands/openapi.js')).openapi(context);
    case 'help':
      context.terminal.out(usage);
      return exitCode.done;
  }
}
