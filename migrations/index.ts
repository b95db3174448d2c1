import { FirstTables20261123022918 } from './20261123022918-first-tables.js';
import { RetiredDomains20261125223424 } from './20261125223424-retired-domains.js';
import { TurningBack20261125224038 } from './20261125224038-turning-back.js';
import { CountLiveOperationsByActor20261125224332 } from './20261125224332-count-live-operations-by-actor.js';
import { Reconciliation20261125225149 } from './20261125225149-reconciliation.js';
import { OperationOutlook20261125225442 } from './20261125225442-operation-outlook.js';
import { DeclaredDeadHosts20261125235500 } from './20261125235500-declared-dead-hosts.js';
import { EndedOperations20261126032000 } from './20261126032000-ended-operations.js';
import { DomainVirtualization20261126034500 } from './20261126034500-domain-virtualization.js';
import { TriesOfBootStarts20261126035900 } from './20261126035900-tries-of-boot-starts.js';
import { ExecutorRights20261126040800 } from './20261126040800-executor-rights.js';
import { OvertakenGuests20261126040900 } from './20261126040900-overtaken-guests.js';
import { WhoAsked20261126041718 } from './20261126041718-who-asked.js';
import { HostControlDomain20261126061936 } from './20261126061936-host-control-domain.js';
import { RepositoryGranularity20261126062526 } from './20261126062526-repository-granularity.js';
import { AbandonedVolumes20261126081000 } from './20261126081000-abandoned-volumes.js';
import { RemediesOfBlockers20261126081100 } from './20261126081100-remedies-of-blockers.js';
import { PromisedMemory20261127173837 } from './20261127173837-promised-memory.js';

/** In the order in which they run. A merged migration is frozen: what was wrong in it is mended by the next one. */
export const migrations = [
  FirstTables20261123022918,
  RetiredDomains20261125223424,
  TurningBack20261125224038,
  CountLiveOperationsByActor20261125224332,
  Reconciliation20261125225149,
  OperationOutlook20261125225442,
  DeclaredDeadHosts20261125235500,
  EndedOperations20261126032000,
  DomainVirtualization20261126034500,
  TriesOfBootStarts20261126035900,
  ExecutorRights20261126040800,
  OvertakenGuests20261126040900,
  WhoAsked20261126041718,
  HostControlDomain20261126061936,
  RepositoryGranularity20261126062526,
  AbandonedVolumes20261126081000,
  RemediesOfBlockers20261126081100,
  PromisedMemory20261127173837,
];
