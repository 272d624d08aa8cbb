import { fstatSync } from 'node:fs';
import { resolve } from 'node:path';
import { findConfigFile, stateFolderOf } from '../config/places.js';
import { ProxyError } from '../errors.js';
import { canListenIn } from '../daemon/find.js';
import type { ServeOptions } from './alone.js';

/** `mcp-session-proxy serve`. Loads no more than its part needs: a keeper has little to die of, a shim little to wait for. */
export async function serve(options: ServeOptions): Promise<void> {
  const stdio =
    options.stdio ?? (options.http === undefined && options.asDaemon === undefined && stdinIsPipe());
  if (options.session !== undefined && !stdio) {
    throw new ProxyError(
      'CONFIG_INVALID',
      '--session names the session of a client on stdin: use it with --stdio.',
    );
  }
  surviveSilence();
  if (stdio && options.daemon && canHaveDaemon(options)) return (await import('./shim.js')).runShim(options);
  // Windows passes no connections between processes.
  const kept = options.keeper && !stdio && process.platform !== 'win32';
  if (kept) return (await import('./keep.js')).keep();
  return (await import('./alone.js')).serveAlone(options, stdio);
}

function canHaveDaemon({ config }: ServeOptions): boolean {
  return canListenIn(stateFolderOf(resolve(config ?? findConfigFile())));
}

/** Whoever read our log is gone; that is no reason to go too. */
export function surviveSilence(): void {
  process.stderr.on('error', () => {});
}

function stdinIsPipe(): boolean {
  try {
    const stdin = fstatSync(0);
    return stdin.isFIFO() || stdin.isSocket();
  } catch {
    return false; // closed
  }
}
