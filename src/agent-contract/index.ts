export * from './console.js';
export * from './define-call.js';
export * from './domain.js';
export * from './host.js';
export * from './storage.js';
