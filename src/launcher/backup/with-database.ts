import type { LauncherConfig } from '../../config/launcher.config.js';
import type { DataFolder } from '../data-folder.js';
import { clusterOf } from '../installation.js';
import { startPostgres, stopPostgres } from '../postgres/supervisor.js';

/** Lends the folder's database, and leaves the embedded PostgreSQL as it was: running or not. */
export async function withDatabase<T>(
  folder: DataFolder,
  config: LauncherConfig,
  use: (url: string) => Promise<T>,
): Promise<T> {
  if (config.databaseUrl !== undefined) return use(config.databaseUrl);
  const cluster = clusterOf(folder, config);
  const { url, adopted } = await startPostgres(cluster);
  try {
    return await use(url);
  } finally {
    if (!adopted) await stopPostgres(cluster);
  }
}
