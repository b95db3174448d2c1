import js from '@eslint/js';
import tseslint from 'typescript-eslint';

const only = (message, ...files) => ({ files: ['src/**/*.ts'], ignores: files, message });
const env = only('Only src/config reads process.env.', 'src/config/**', '**/*.spec.ts');

export default tseslint.config(
  { ignores: ['dist', 'node_modules', '.domus', 'openapi'] },
  js.configs.recommended,
  ...tseslint.configs.recommended,
  {
    rules: {
      '@typescript-eslint/no-explicit-any': 'error',
      '@typescript-eslint/no-unused-vars': [
        'error',
        { argsIgnorePattern: '^_', varsIgnorePattern: '^_', caughtErrorsIgnorePattern: '^_' },
      ],
      'max-lines': ['error', { max: 500, skipBlankLines: false }],
      eqeqeq: 'error',
    },
  },
  {
    files: env.files,
    ignores: env.ignores,
    rules: {
      'no-restricted-properties': ['error', { object: 'process', property: 'env', message: env.message }],
    },
  },
  {
    files: ['**/*.cjs', '**/*.mjs'],
    languageOptions: { globals: { process: 'readonly', module: 'writable', console: 'readonly' } },
  },
);
