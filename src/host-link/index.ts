export { CertificateAuthorities } from './certificate-authorities.js';
export { Enrolment, type EnrolledHost, EnrolmentSink, type MintedToken } from './enrolment.js';
export { enrolmentRetention } from './enrolment-retention.js';
export { fenceOperationOn } from './fence-operation.js';
export { type CallOptions, HostLink, HostWatch, InventorySink, type LateCall } from './host-link.js';
export { HostLinkModule, HostLinkRuntime, type HostLinkSettings } from './host-link.module.js';
export { readSecretKey } from './sealed-key.js';
