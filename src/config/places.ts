import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { basename, join } from 'node:path';
import { ProxyError } from '../errors.js';
import type { Environment } from './variables.js';

/** Where files of the program are looked for; apart from their reading, which not everybody needs who asks. */

export const APP = 'mcp-session-proxy';
const FILE_NAME = 'mcp-proxy.yaml';

/**
 * The config file to use when none is named: `./mcp-proxy.yaml`, then the user's config folder.
 * @throws {ProxyError} CONFIG_INVALID when neither is there
 */
export function findConfigFile(env: Environment = process.env, folder = process.cwd()): string {
  const home =
    env.XDG_CONFIG_HOME ??
    (process.platform === 'win32' ? env.APPDATA : undefined) ??
    join(homedir(), '.config');
  const candidates = [join(folder, FILE_NAME), join(home, APP, FILE_NAME)];
  const found = candidates.find((file) => existsSync(file));
  if (found) return found;
  throw new ProxyError(
    'CONFIG_INVALID',
    `No config file: neither ${candidates.join(' nor ')} exists. Name one with --config FILE.`,
  );
}

/** Where the program keeps what belongs to one config file, so that two proxies with different servers never meet. */
export function stateFolderOf(file: string, env: Environment = process.env): string {
  const folders: Partial<Record<NodeJS.Platform, string | undefined>> = {
    win32: env.LOCALAPPDATA,
    darwin: join(homedir(), 'Library', 'Application Support'),
  };
  const state = env.XDG_STATE_HOME ?? folders[process.platform] ?? join(homedir(), '.local', 'state');
  const mark = createHash('sha256').update(file).digest('hex').slice(0, 8);
  return join(state, APP, `${basename(file).replace(/\.\w+$/, '')}-${mark}`);
}
