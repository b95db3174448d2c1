export { tearDown as default } from './jest-run.mjs';
