import { autostartHost } from './autostart-host.js';
import { createDomain } from './create-domain.js';
import { deleteDomain } from './delete-domain.js';
import { forceOffDomain } from './force-off-domain.js';
import { pauseDomain } from './pause-domain.js';
import { rebootDomain } from './reboot-domain.js';
import { resetDomain } from './reset-domain.js';
import { resumeDomain } from './resume-domain.js';
import { shutdownDomain } from './shutdown-domain.js';
import { startDomain } from './start-domain.js';

export {
  autostartHost,
  createDomain,
  deleteDomain,
  forceOffDomain,
  pauseDomain,
  rebootDomain,
  resetDomain,
  resumeDomain,
  shutdownDomain,
  startDomain,
};
