export { domainNotFound } from './domain.errors.js';
export { domainModel } from './domain.queries.js';
export { DomainService } from './domain.service.js';
