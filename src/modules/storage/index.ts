export { hostsReaching, repositoryRefsOn } from './attachments.js';
export { type NamedFile, checkBootFiles } from './boot-files.js';
export { type HeldVolume, dropHolds, takeHolds } from './holds.js';
