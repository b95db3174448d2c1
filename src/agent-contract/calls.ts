import { readConsoleLog } from './console.js';
import { type AgentCall } from './define-call.js';
import {
  askShutdown,
  awaitHalt,
  forceOff,
  forgetDomain,
  inspectDomain,
  pauseDomain,
  readDomainSpec,
  resetDomain,
  resumeDomain,
  startDomain,
} from './domain.js';
import { adjustControlDomain, readFacts, releaseJournal, subscribeState } from './host.js';
import { beginReturn, destroyOvertaken, takeEpoch } from './host-return.js';
import { fenceOperation } from './operation.js';
import {
  attachRepository,
  checkFiles,
  createVolume,
  deleteVolume,
  detachRepository,
  endExecutor,
  inspectVolume,
  listVolumes,
  repositoryRoom,
} from './storage.js';

/** Every call. The agent's table of handlers is typed by it: one without a handler does not compile. */
export const agentCalls = {
  adjustControlDomain,
  attachRepository,
  askShutdown,
  awaitHalt,
  beginReturn,
  checkFiles,
  createVolume,
  deleteVolume,
  destroyOvertaken,
  detachRepository,
  endExecutor,
  fenceOperation,
  forceOff,
  forgetDomain,
  inspectDomain,
  inspectVolume,
  listVolumes,
  pauseDomain,
  readConsoleLog,
  readDomainSpec,
  readFacts,
  releaseJournal,
  repositoryRoom,
  resetDomain,
  resumeDomain,
  startDomain,
  subscribeState,
  takeEpoch,
} as const satisfies Record<string, AgentCall>;

export type AgentCalls = typeof agentCalls;
