/** One configuration, one project per suite: `jest --selectProjects unit`. Suites that need real parts say so in test/README.md. */
const base = {
  testEnvironment: 'node',
  extensionsToTreatAsEsm: ['.ts'],
  moduleNameMapper: { '^(\\.{1,2}/.*)\\.js$': '$1' },
  transform: { '^.+\\.ts$': ['ts-jest', { useESM: true, tsconfig: 'tsconfig.json', diagnostics: false }] },
  modulePathIgnorePatterns: ['<rootDir>/dist', '<rootDir>/.domus'],
};
const suite = (displayName, testMatch, extra = {}) => ({ ...base, displayName, testMatch, ...extra });

export default {
  projects: [
    suite('unit', [
      '<rootDir>/src/**/*.spec.ts',
      '<rootDir>/bench/**/*.spec.ts',
      '<rootDir>/test/support/**/*.spec.ts',
    ]),
    suite('integration', ['<rootDir>/test/integration/**/*.spec.ts']),
    suite('e2e', ['<rootDir>/test/e2e/**/*.spec.ts']),
    suite('qemu', ['<rootDir>/test/qemu/**/*.spec.ts']),
  ],
};
