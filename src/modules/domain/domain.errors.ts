import { domainBadState, domainIsControlDomain, volumeInUse } from '../../agent-contract/index.js';
import { defineProblem } from '../../kernel/errors/problem.js';
import {
  fileNotFound,
  hostUnreachable,
  objectBusy,
  pathOutsideRepository,
} from '../../kernel/errors/problems.js';

import { networkNotFound } from '../network/index.js';
import { repositoryNotFound, volumeNotFound } from '../storage/index.js';

export {
  domainBadState,
  domainIsControlDomain,
  domainStartFailed,
  hostMemoryInsufficient,
} from '../../agent-contract/index.js';

export const domainNotFound = defineProblem({
  code: 'domain.not_found',
  status: 404,
  title: 'There is no such domain',
  retry: 'never',
  remedies: ['ask_otherwise'],
});
export const domainExists = defineProblem({
  code: 'domain.exists',
  status: 409,
  title: 'There is already a domain with this id',
  retry: 'never',
  remedies: ['ask_otherwise'],
});
export const domainOvertakenGuest = defineProblem({
  code: 'domain.overtaken_guest',
  status: 409,
  title: 'An older run of the domain still lives on a host',
  retry: 'after_change',
  remedies: ['answers', 'state_changes', 'update'],
});
export const domainDidNotHalt = defineProblem({
  code: 'domain.did_not_halt',
  status: 409,
  title: 'The guest did not shut down in time',
  retry: 'later',
  remedies: ['shutdown', 'force_off'],
});
export const hostAutostartIncomplete = defineProblem({
  code: 'host.autostart_incomplete',
  status: 409,
  title: 'Not every domain could be started after the boot of its host',
  retry: 'after_change',
  remedies: ['start'],
});
export const nicMacTaken = defineProblem({
  code: 'nic.mac_taken',
  status: 409,
  title: 'Another card has this MAC address',
  retry: 'after_change',
  remedies: ['ask_otherwise'],
});

/** What a PATCH may be refused with, beside what every PATCH may. */
export const patchErrors = [
  domainBadState,
  domainIsControlDomain,
  nicMacTaken,
  objectBusy,
  volumeInUse,
  pathOutsideRepository,
  fileNotFound,
  hostUnreachable,
  repositoryNotFound,
  volumeNotFound,
  networkNotFound,
];
