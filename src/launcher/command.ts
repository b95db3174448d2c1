import type { LauncherConfig } from '../config/launcher.config.js';

export interface Terminal {
  /** What the command was asked for: scripts read it. */
  out(line: string): void;
  /** Progress and complaints. */
  note(line: string): void;
}

export interface CommandContext {
  readonly config: LauncherConfig;
  readonly terminal: Terminal;
}

/** A command as parsed: what its file's `run` takes. */
export type Command =
  | {
      name: 'up';
      data: string;
      port: number;
      portGiven: boolean;
      demo: boolean;
      detach: boolean;
      simulate: boolean;
    }
  | { name: 'down'; data: string; guests: boolean }
  | { name: 'status'; data: string; json: boolean }
  | { name: 'logs'; data: string; part: string | undefined; follow: boolean }
  | { name: 'test'; suites: string[] }
  | { name: 'bench'; names: string[]; rounds: number | undefined }
  | {
      name: 'chaos';
      kills: number;
      operations: number | undefined;
      seed: number | undefined;
      hosts: number;
      queue: 'postgres' | 'redis';
      qemu: boolean;
      /** Instead of random kills: every crash point, or those that `only` names, or so many as `share` says. */
      sweep: boolean;
      only: string | undefined;
      share: number | undefined;
    }
  | { name: 'backup'; data: string; file: string }
  | { name: 'restore'; data: string; file: string; force: boolean }
  | {
      name: 'lab';
      action: 'up' | 'down' | 'status';
      data: string;
      xen: number;
      plain: number;
      systemd: boolean;
      json: boolean;
    }
  | { name: 'openapi' }
  | { name: 'help' };
