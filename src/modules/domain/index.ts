export { haltDomainsOf } from './dead-host.js';
export { domainNotFound } from './domain.errors.js';
export { domainModel } from './domain.queries.js';
export { unclaimedMemory } from './placement.js';
export { DomainService } from './domain.service.js';
export { judgeReturnedGuests, type OvertakenGuest } from './returned-guests.js';
