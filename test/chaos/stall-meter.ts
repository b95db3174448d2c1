import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { Agent, get } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';

/** A program that does nothing but answer. It ends with whoever started it. */
const CONTROL = `
  const server = require('node:http').createServer((_, answer) => answer.end('.'));
  server.listen(0, '127.0.0.1', () => process.stdout.write(String(server.address().port)));
  process.stdin.on('close', () => process.exit()).resume();`;
const EVERY_MS = 20;
/** An answer takes so long on an idle machine. */
const USUAL_MS = 5;

/**
 * How much time the machine itself takes away. Beside what is measured a program that does nothing is asked again and again; what its
 * answers take beyond the usual was lost to whoever else keeps the processors busy, and is no delay of ours. A part of ours that
 * waits, for a timer, a lock or another part, does not slow it down; one that computes without end would.
 */
export class StallMeter {
  private readonly lost: { readonly at: number; readonly ms: number }[] = [];
  private readonly agent = new Agent({ keepAlive: true, maxSockets: 1 });
  private over = false;
  private asking: Promise<void> = Promise.resolve();

  private constructor(
    private readonly child: ChildProcess,
    private readonly port: number,
  ) {}

  static async start(): Promise<StallMeter> {
    const child = spawn(process.execPath, ['-e', CONTROL], { stdio: ['pipe', 'pipe', 'inherit'] });
    const [port] = (await once(child.stdout, 'data')) as [Buffer];
    const meter = new StallMeter(child, Number(port.toString()));
    meter.asking = meter.run();
    return meter;
  }

  /** Milliseconds that were lost between two instants (`Date.now()`), at most all of them. */
  between(from: number, to: number): number {
    let sum = 0;
    for (const { at, ms } of this.lost) sum += Math.max(0, Math.min(to, at) - Math.max(from, at - ms));
    return sum;
  }

  async stop(): Promise<void> {
    this.over = true;
    await this.asking;
    this.agent.destroy();
    this.child.stdin?.end();
    if (this.child.exitCode === null) await once(this.child, 'exit');
  }

  private async run(): Promise<void> {
    while (!this.over) {
      const due = performance.now() + EVERY_MS;
      await delay(EVERY_MS);
      await this.ask();
      // The pause counts too: a timer that comes late was kept waiting by the machine.
      const ms = performance.now() - due - USUAL_MS;
      if (ms > 0) this.lost.push({ at: Date.now(), ms });
    }
  }

  private ask(): Promise<void> {
    return new Promise((resolve, reject) => {
      const sent = get({ host: '127.0.0.1', port: this.port, agent: this.agent }, (answer) => {
        answer.resume();
        answer.on('end', resolve);
      });
      sent.on('error', reject);
    });
  }
}
