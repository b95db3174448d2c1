import { Buffer } from 'node:buffer';
import { createInterface } from 'node:readline';
import { localDom0 } from './src/hypervisor-driver/xen/local-dom0.js';

/**
 * Runs in a control domain and lends the driver's own way into it (local-dom0.js) to a process outside, line by line over
 * standard input and output. remote-dom0.ts is the other end. It ends with its input.
 */
const dom0 = await localDom0({ systemd: false });
const say = (message) => process.stdout.write(`${JSON.stringify(message)}\n`);
const streams = new Map();
const aborts = new Map();

const opened = (id, stream) => {
  streams.set(id, stream);
  stream.on('data', (bytes) => say({ id, bytes: bytes.toString('base64') }));
  stream.on('error', () => undefined);
  stream.on('close', () => {
    streams.delete(id);
    say({ id, closed: true });
  });
  return null;
};

const calls = {
  xl: async (id, { args, timeoutMs }) => {
    const abort = new globalThis.AbortController();
    aborts.set(id, abort);
    return dom0.xl(args, { timeoutMs, signal: abort.signal }).finally(() => aborts.delete(id));
  },
  openXenstore: async (id) => opened(id, await dom0.openXenstore()),
  openTerminal: async (id, { path }) => opened(id, await dom0.openTerminal(path)),
  deviceModelLog: (_, { domainId }) => dom0.deviceModelLog(domainId),
  endMaking: async (_, { domainId }) => (await dom0.endMaking(domainId), null),
};

for await (const line of createInterface({ input: process.stdin })) {
  const { id, call, abort, bytes, close, ...rest } = JSON.parse(line);
  if (abort) aborts.get(id)?.abort();
  else if (close) streams.get(id)?.destroy();
  else if (bytes !== undefined) streams.get(id)?.write(Buffer.from(bytes, 'base64'));
  else
    calls[call](id, rest).then(
      (answer) => say({ id, answer }),
      (error) => say({ id, error: { message: String(error.message), code: error.code } }),
    );
}
process.exit(0);
