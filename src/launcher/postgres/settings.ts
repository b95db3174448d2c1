/** What PostgreSQL is started with. Nothing of it is kept in the cluster, so that a new Domus brings its own. */
export function serverSettings(options: {
  socketFolder: string;
  /** False only for tests: a crash of the machine may then cost the cluster, one of PostgreSQL alone still nothing. */
  durable: boolean;
}): string[] {
  const settings: Record<string, string> = {
    // No TCP at all: the bundled OpenSSL is old, and a socket in a folder that only we may enter needs none.
    listen_addresses: '',
    unix_socket_directories: options.socketFolder,
    unix_socket_permissions: '0600',
    password_encryption: 'scram-sha-256',
    max_connections: '200',
    shared_buffers: '64MB',
    max_wal_size: '256MB',
    min_wal_size: '32MB',
    synchronous_commit: 'on',
    // The anonymous kind goes with the last process that uses it; System V keeps 56 bytes that tell orphans from strangers.
    shared_memory_type: 'mmap',
    timezone: 'UTC',
    log_timezone: 'UTC',
    lc_messages: 'C',
    log_checkpoints: 'off',
    log_line_prefix: '%m [%p] ',
    autovacuum_naptime: '20s',
    cluster_name: 'domus',
    ...(options.durable ? {} : { fsync: 'off', full_page_writes: 'off' }),
  };
  return Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
}

/**
 * The host is a folder, which a URL can only carry as a parameter. node-postgres, TypeORM and BullMQ's PostgreSQL
 * backend all take this form.
 */
export function socketUrl(options: {
  user: string;
  password: string;
  database: string;
  socketFolder: string;
}): string {
  const { user, password, database, socketFolder } = options;
  const part = encodeURIComponent;
  return `postgres://${part(user)}:${part(password)}@/${part(database)}?host=${part(socketFolder)}`;
}

/** The kernel takes 107 bytes for the path of a socket; PostgreSQL refuses to start beyond. */
export const longestSocketFolder = 107 - '/.s.PGSQL.5432.lock'.length;

/** Lines of postmaster.pid: number, data folder, start time, port, socket folder, address, memory key, status. */
export function parsePostmasterPid(
  text: string,
): { pid: number; socketFolder: string; ready: boolean } | undefined {
  const lines = text.split('\n').map((line) => line.trim());
  const pid = Number(lines[0]);
  if (!Number.isInteger(pid) || pid <= 0) return undefined;
  return { pid, socketFolder: lines[4] ?? '', ready: lines[7] === 'ready' };
}
