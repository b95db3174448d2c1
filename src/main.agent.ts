import { mkdirSync } from 'node:fs';
import { flushCompileCache } from 'node:module';
import { join } from 'node:path';
import { Agent, AgentError, type AgentSettings } from './agent/agent.js';
import { WrongAuthorityError } from './agent/enrolment/enrolment-client.js';
import { TokenFile } from './agent/enrolment/token-file.js';
import { holdFolder } from './agent/hold-folder.js';
import { readMachine, simulatedControlDomain, simulatedMachine } from './agent/inventory/machine.js';
import { findBootKit } from './boot-kit/index.js';
import { type AgentConfig, readAgentConfig } from './config/agent.config.js';
import { ConfigError } from './config/read-config.js';
import { drivers } from './hypervisor-driver/drivers.js';
import { decideAccelerator, qemuBinaryName, qemuVersion } from './hypervisor-driver/qemu/index.js';
import { isControlDomain, localDom0, xenMachine } from './hypervisor-driver/xen/index.js';
import { isProblem } from './kernel/errors/problem.js';
import { createLogger, type Logger } from './kernel/logging/logger.js';
import { createBackends, createFakeBackends } from './storage-backend/backends.js';

/** How many simulated hosts get ready at the same time. */
const AT_ONCE = 16;

type Host = Pick<
  AgentSettings,
  'folder' | 'hostName' | 'listen' | 'advertise' | 'driver' | 'backends' | 'machine' | 'log'
>;

async function main(): Promise<void> {
  const config = readAgentConfig();
  const log = createLogger({ name: 'agent', level: config.logLevel });
  const folder = join(config.dataDir, 'agent');
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  await holdFolder(folder);
  const hosts =
    config.driver === 'fake' ? await playedHosts(config, folder, log) : [await thisHost(config, folder, log)];
  const tokens = config.enrolTokenFile === undefined ? null : await TokenFile.read(config.enrolTokenFile);
  const agents = hosts.map((host) => new Agent({ ...host, enrolUrl: config.enrolUrl, tokens }));

  let closing: Promise<unknown> | undefined;
  const stop = (reason: string) => {
    closing ??= (async () => {
      log.info({ reason }, 'letting go of the guests and stopping');
      await Promise.all(agents.map((agent) => agent.close()));
    })();
    return closing;
  };
  for (const name of ['SIGTERM', 'SIGINT'] as const)
    process.on(name, () => void stop(name).then(() => process.exit(0)));
  try {
    for (let next = 0; next < agents.length; next += AT_ONCE)
      await Promise.all(agents.slice(next, next + AT_ONCE).map((agent) => agent.start()));
    // Now, since one that is killed writes nothing at its end. Where no folder is named for it this does nothing.
    flushCompileCache();
  } catch (error) {
    if (closing) return;
    await stop('start failed');
    throw error;
  }
}

/** The machine that this process runs on. */
async function thisHost(config: AgentConfig, folder: string, log: Logger): Promise<Host> {
  const xen = config.driver === 'xen' || (config.driver === 'auto' && (await isControlDomain()));
  return xen ? xenHost(config, folder, log) : qemuHost(config, folder, log);
}

/** The control domain of a Xen host. */
async function xenHost(config: AgentConfig, folder: string, log: Logger): Promise<Host> {
  if (!(await isControlDomain()))
    throw new MissingError('This machine is not the control domain of a Xen host (/proc/xen/capabilities).');
  const dom0 = await localDom0();
  const driver = drivers.xen({
    domainsDir: join(folder, 'domains'),
    dom0,
    onFault: (error, domainId) => log.error({ err: error, domainId }, 'the driver met a fault'),
  });
  const { hostName, listen, advertise } = config;
  const backends = createBackends({ qemuImg: 'qemu-img' });
  // dom0 sees only its own part of the machine.
  const machine = async () => ({ ...(await readMachine()), ...(await xenMachine(dom0)) });
  return { folder, hostName, listen, advertise, driver, backends, machine, log };
}

async function qemuHost(config: AgentConfig, folder: string, log: Logger): Promise<Host> {
  const binary = qemuBinaryName();
  const version = await qemuVersion(binary).catch((error: unknown) => {
    throw new MissingError(error instanceof Error ? error.message : String(error));
  });
  const machine = await readMachine();
  const { accelerator, reason } = await decideAccelerator({
    wanted: config.accelerator,
    binary,
    qemuVersion: version,
    kernel: await findBootKit(join(config.dataDir, 'cache')),
    cacheFile: join(folder, 'accelerator.json'),
    bootId: machine.bootId,
  });
  log.info({ accelerator, reason }, 'accelerator chosen');
  const driver = drivers.qemu({
    domainsDir: join(folder, 'domains'),
    runtimeDir: config.runtimeDir,
    accelerator,
    binary,
    onFault: (error, domainId) => log.error({ err: error, domainId }, 'the driver met a fault'),
  });
  const { hostName, listen, advertise } = config;
  const backends = createBackends({ qemuImg: 'qemu-img' });
  return { folder, hostName, listen, advertise, driver, backends, machine: readMachine, log };
}

/** Hosts that are only played, any number in this one process; they share one simulated storage, as a pool would. */
async function playedHosts(config: AgentConfig, folder: string, log: Logger): Promise<Host[]> {
  const { bootId } = await readMachine();
  const backends = createFakeBackends({ stateFile: join(folder, 'simulated-storage.json') });
  return Array.from({ length: config.simulatedHosts }, (_, index) => {
    const number = index + 1;
    const own = join(folder, 'hosts', String(number));
    mkdirSync(own, { recursive: true, mode: 0o700 });
    const { host, port } = config.listen;
    const hostName = config.simulatedHosts === 1 ? config.hostName : `${config.hostName}-${number}`;
    const history = config.guestHistory && join(config.guestHistory, hostName);
    const driver = drivers.fake({
      stateFile: join(own, 'guests.json'),
      history: history ? { file: `${history}.jsonl`, actsFolder: `${history}.acts` } : null,
      controlDomain: simulatedControlDomain,
    });
    const controlDomain = () => driver.hypervisor.controlDomain(simulatedControlDomain);
    return {
      folder: own,
      hostName,
      listen: { host, port: port === 0 ? 0 : port + index },
      driver,
      backends,
      machine: () => Promise.resolve(simulatedMachine(bootId, controlDomain())),
      log: log.child({ host: number }),
    };
  });
}

class MissingError extends Error {
  override readonly name = 'MissingError';
}

main().catch((error: unknown) => {
  const known =
    error instanceof ConfigError ||
    error instanceof AgentError ||
    error instanceof MissingError ||
    error instanceof WrongAuthorityError ||
    isProblem(error);
  const text = known
    ? error.message
    : error instanceof Error
      ? (error.stack ?? error.message)
      : String(error);
  process.stderr.write(`domus agent: ${text}\n`);
  process.exit(error instanceof ConfigError ? 2 : error instanceof MissingError ? 4 : 1);
});
