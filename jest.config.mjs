/** One configuration, one project per suite: `jest --selectProjects unit`. Suites that need real parts say so in test/README.md. */
const base = {
  testEnvironment: 'node',
  extensionsToTreatAsEsm: ['.ts'],
  moduleNameMapper: { '^(\\.{1,2}/.*)\\.js$': '$1' },
  transform: { '^.+\\.ts$': ['ts-jest', { useESM: true, tsconfig: 'tsconfig.json', diagnostics: false }] },
  modulePathIgnorePatterns: ['<rootDir>/dist', '<rootDir>/.domus'],
};
const suite = (displayName, testMatch, extra = {}) => ({ ...base, displayName, testMatch, ...extra });

/** Suites that share one PostgreSQL and one Redis per run: test/support/run-folder.ts. */
const shared = {
  globalSetup: '<rootDir>/test/support/jest-run.setup.mjs',
  globalTeardown: '<rootDir>/test/support/jest-run.teardown.mjs',
};

export default {
  projects: [
    suite('unit', [
      '<rootDir>/src/**/*.spec.ts',
      '<rootDir>/bench/**/*.spec.ts',
      '<rootDir>/test/support/**/*.spec.ts',
      '<rootDir>/test/lab/**/*.spec.ts',
      '<rootDir>/test/chaos/sweep/ways.spec.ts',
    ]),
    suite('integration', ['<rootDir>/test/integration/**/*.spec.ts'], shared),
    suite('e2e', ['<rootDir>/test/e2e/**/*.spec.ts'], shared),
    suite('qemu', ['<rootDir>/test/qemu/**/*.spec.ts'], shared),
    suite('xen', ['<rootDir>/test/xen/**/!(conformance).spec.ts'], shared),
    suite('xen-exam', ['<rootDir>/test/xen/conformance.spec.ts'], shared),
    suite('chaos', ['<rootDir>/test/chaos/**/*.spec.ts']),
  ],
};
