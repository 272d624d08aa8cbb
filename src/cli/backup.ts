import { resolve } from 'node:path';
import { loadConfig } from '../config/load.js';
import { findConfigFile } from '../config/places.js';
import { backupStore } from '../store/backup.js';

/** `mcp-session-proxy backup FILE`: a copy of the store, also while a proxy runs. */
export async function backup(file: string, options: { config?: string; json?: true }): Promise<void> {
  const { store } = loadConfig(options.config ?? findConfigFile());
  const to = resolve(file);
  const { pages } = await backupStore(store, to);
  console.log(options.json ? JSON.stringify({ store, file: to, pages }) : `Saved ${store} to ${to}.`);
}
