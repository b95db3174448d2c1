/** The doors of the house: who may import whom. `npm run doors` checks them; the reasons stand in src/README.md. */
const rule = (name, from, to, comment) => ({ name, severity: 'error', comment, from, to });
const ORDER = [
  ['auth', 'audit', 'event', 'operation'],
  ['pool'],
  ['host'],
  ['network', 'storage'],
  ['domain'],
  ['console', 'metrics'],
  ['maintenance'],
];
const upward = ORDER.slice(0, -1).map((modules, level) =>
  rule(
    `modules-look-down-${modules[0]}`,
    { path: `^src/modules/(${modules.join('|')})/` },
    {
      path: `^src/modules/(${ORDER.slice(level + 1)
        .flat()
        .join('|')})/`,
    },
    'A lower module never imports a higher one.',
  ),
);

module.exports = {
  forbidden: [
    rule('no-cycles', {}, { circular: true }, 'Break the knot: move the shared piece down a room.'),
    rule('kernel-is-the-floor', { path: '^src/kernel' }, { path: '^src/(?!kernel)' }),
    rule(
      'contract-is-plain',
      { path: '^src/agent-contract' },
      {
        path: [
          '^src/(?!agent-contract|kernel/(errors|schema)/)',
          'node_modules/(@nestjs|typeorm|bullmq|ioredis|pg)/',
        ],
      },
    ),
    rule(
      'drivers-are-plain',
      { path: '^src/(hypervisor-driver|storage-backend)' },
      {
        path: [
          '^src/(agent/|api|modules|host-link|launcher)',
          'node_modules/(@nestjs|typeorm|bullmq|ioredis|pg)/',
        ],
      },
    ),
    rule(
      'drivers-do-not-meet',
      { path: '^src/(hypervisor-driver|storage-backend)/([^/]+)/' },
      {
        path: '^src/(hypervisor-driver|storage-backend)/[^/]+/',
        pathNot: '^src/$1/($2|shared|image)/',
      },
    ),
    rule(
      'boot-kit-is-plain',
      { path: '^src/(boot-kit|debian-package)/' },
      {
        path: [
          '^src/(?!boot-kit|debian-package|kernel/(errors|schema)/)',
          'node_modules/(@nestjs|typeorm|bullmq|ioredis|pg)/',
        ],
      },
      'The launcher, the agent and tests all make guests with it.',
    ),
    rule(
      'agent-has-no-database',
      { path: '^src/agent/' },
      {
        path: [
          '^src/(api|modules|host-link|launcher|kernel/(database|operations|events))',
          'node_modules/(typeorm|pg|bullmq|ioredis)/',
        ],
      },
    ),
    rule(
      'server-talks-through-the-contract',
      { path: '^src/(modules|api|host-link)' },
      { path: '^src/(agent/|hypervisor-driver|storage-backend)' },
    ),
    rule(
      'modules-meet-at-index',
      { path: '^src/modules/([^/]+)/' },
      { path: '^src/modules/(?!$1/)[^/]+/(?!index\\.ts$)' },
    ),
    rule(
      'api-shows-views-only',
      { path: '^src/modules/[^/]+/api/' },
      { path: ['\\.entity\\.ts$', 'node_modules/typeorm/'] },
    ),
    rule(
      'inner-does-not-know-api',
      { path: '^src/modules/[^/]+/(?!api/|[^/]+\\.module\\.ts)' },
      { path: '^src/(api/|modules/[^/]+/api/)' },
    ),
    rule('api-infra-knows-no-module', { path: '^src/api' }, { path: '^src/modules' }),
    rule('server-is-put-together-once', { path: '^src/(?!server/|main)' }, { path: '^src/server/' }),
    rule('mains-are-leaves', { path: '^src/(?!main)' }, { path: '^src/main' }),
    ...upward,
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsConfig: { fileName: 'tsconfig.json' },
    tsPreCompilationDeps: true,
    exclude: '\\.spec\\.ts$',
  },
};
