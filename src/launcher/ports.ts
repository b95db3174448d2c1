import { once } from 'node:events';
import { createServer } from 'node:net';
import type { LauncherConfig } from '../config/launcher.config.js';
import type { ServerFile } from './api-client.js';
import { failed } from './launcher-error.js';

/** Where the server's three listeners go. */
export interface Listeners {
  readonly api: string;
  readonly metrics: string;
  readonly enrol: string;
}

const home = '127.0.0.1';

/**
 * Chooses before the server starts, so that a taken port is one sentence and not a stack in a log. With `--port 0`
 * every listener takes the port it had the last time, if that is free, or any: agents and scripts find it again.
 */
export async function chooseListeners(
  port: number,
  config: Pick<LauncherConfig, 'metricsListen' | 'enrolListen'>,
  last: ServerFile | undefined,
): Promise<Listeners> {
  if (port === 0) {
    const again = async (url: string | undefined) => {
      const used = url === undefined ? 0 : Number(new URL(url).port);
      return `${home}:${used !== 0 && (await isFree(home, used)) ? used : 0}`;
    };
    return {
      api: await again(last?.url),
      metrics: config.metricsListen ?? (await again(last?.metricsUrl)),
      enrol: config.enrolListen ?? (await again(last?.enrolUrl)),
    };
  }
  const listeners: Listeners = {
    api: `${home}:${port}`,
    metrics: config.metricsListen ?? `${home}:9464`,
    enrol: config.enrolListen ?? `${home}:8443`,
  };
  await mustBeFree(listeners.api, 'name another with --port, or 0 for any');
  await mustBeFree(listeners.metrics, 'name another in DOMUS_METRICS_LISTEN, or take --port 0');
  await mustBeFree(listeners.enrol, 'name another in DOMUS_ENROL_LISTEN, or take --port 0');
  return listeners;
}

async function mustBeFree(listen: string, advice: string): Promise<void> {
  const at = listen.lastIndexOf(':');
  const host = listen.slice(0, at).replace(/^\[|\]$/g, '');
  if (!(await isFree(host, Number(listen.slice(at + 1))))) {
    throw failed(`${listen} is taken by another program: ${advice}.`);
  }
}

/** Only a port that is in use counts as taken: every other trouble is for the server to name. */
export async function isFree(host: string, port: number): Promise<boolean> {
  const probe = createServer();
  const taken = new Promise<boolean>((resolve) =>
    probe.once('error', (error) => resolve('code' in error && error.code === 'EADDRINUSE')),
  );
  probe.listen(port, host);
  const free = await Promise.race([once(probe, 'listening').then(() => true), taken.then((is) => !is)]);
  probe.close();
  return free;
}
