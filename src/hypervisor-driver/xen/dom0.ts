import { type Duplex } from 'node:stream';

export interface XlResult {
  /** Null when it was ended by a signal. */
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface XlOptions {
  readonly timeoutMs: number;
  /** Ends xl where it stands (SIGKILL). */
  readonly signal?: AbortSignal;
  /** Set where xl leaves processes of the guest behind: the name of their systemd scope. */
  readonly scope?: string;
}

/** The control domain, as far as the driver reaches into it. `localDom0` is the one that this process runs in. */
export interface Dom0 {
  /** Runs xl with these words; resolves with how it ended once it is gone, also when it was ended by us. */
  xl(args: readonly string[], options: XlOptions): Promise<XlResult>;
  /** A new connection to xenstored. */
  openXenstore(): Promise<Duplex>;
  /** The terminal at this path, both ways. */
  openTerminal(path: string): Promise<Duplex>;
  /** What the QEMU that serves the domain's disks has printed; nothing where there is none. */
  deviceModelLog(domainId: string): Promise<string>;
  /** Ends any xl that still makes this domain for an agent that is gone. Resolves when none is there. */
  endMaking(domainId: string): Promise<void>;
}
