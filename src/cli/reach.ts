import { existsSync } from 'node:fs';
import { remoteDoor } from '../admin/client.js';
import { socketOf } from '../admin/socket-fetch.js';
import type { Door } from '../admin/door.js';
import { stateFolderOf } from '../config/places.js';
import type { Config } from '../config/schema.js';
import { isRunning } from '../downstream/process-mark.js';
import { ProxyError } from '../errors.js';
import { isThere, socketIn } from '../daemon/find.js';
import { openSqliteStore } from '../store/sqlite.js';

/** A process that uses the store and has no URL may be starting, or a command like this one: it gets this long, ms. */
const PATIENCE = 5000;
const POLL = 50;

export interface ReachOptions {
  token?: string;
  /** Only a proxy that runs will do: what is waited for cannot happen otherwise. */
  running?: boolean;
}

/**
 * The door to the sessions of a config: of the proxy that serves it now, else of one in this process that opens the same
 * store, starts servers only when it must, and is stopped with the door.
 * @throws {ProxyError} SERVER_UNAVAILABLE, CONFIG_INVALID, INVALID_PARAMS, UNAUTHORIZED, STORE_FAILED
 */
export async function reachDoor(
  config: Config,
  { token, running = false }: ReachOptions = {},
): Promise<Door> {
  const url = await urlOf(config);
  if (url !== undefined) return remoteDoor(url, token === undefined ? {} : { token });
  if (running) throw notRunning(config);
  // Loaded when it is needed: the proxy is most of the program.
  const { openDoor } = await import('./local.js');
  return openDoor(config, token);
}

/**
 * The MCP endpoint of the proxy that serves a config now, for clients that speak HTTP over a port.
 * @throws {ProxyError} SERVER_UNAVAILABLE when none does; CONFIG_INVALID, INVALID_PARAMS, STORE_FAILED
 */
export async function reachEndpoint(config: Config): Promise<string> {
  const url = await urlOf(config);
  if (url === undefined) throw notRunning(config);
  if (socketOf(url) === undefined) return `${url}${config.listen.path}`;
  throw noAddress();
}

/** Of a proxy that is reached by its socket alone. */
export function noAddress(): ProxyError {
  return new ProxyError(
    'SERVER_UNAVAILABLE',
    'The daemon of this config listens on no port, so there is no address for other clients. End it ' +
      '(mcp-session-proxy stop) and start one that does: mcp-session-proxy --http.',
  );
}

function notRunning({ store }: Config): ProxyError {
  return new ProxyError(
    'SERVER_UNAVAILABLE',
    `No proxy runs on the store ${store}, so nothing will happen there. Start one: mcp-session-proxy --http.`,
  );
}

/** The URL of the proxy that runs on the store of a config. */
async function urlOf({ file, store }: Config): Promise<string | undefined> {
  if (store === ':memory:') {
    const folder = stateFolderOf(file);
    if (await isThere(folder)) return `unix:${socketIn(folder)}`;
    throw new ProxyError(
      'CONFIG_INVALID',
      `The config ${file} keeps its sessions in memory (store: ":memory:"): name the proxy that has them with --url.`,
    );
  }
  return existsSync(store) ? urlOfLive(store) : undefined;
}

async function urlOfLive(file: string): Promise<string | undefined> {
  const store = openSqliteStore(file);
  try {
    for (const end = Date.now() + PATIENCE; ;) {
      const live = store.processes.instances().filter(({ mark }) => isRunning(mark));
      const [url, ...others] = live.flatMap((instance) => instance.url ?? []);
      if (url !== undefined && others.length > 0) {
        throw new ProxyError(
          'INVALID_PARAMS',
          `Several proxies run on the store ${file}, each with sessions of its own: choose with --url among ${[url, ...others].sort().join(', ')}.`,
        );
      }
      const [silent] = live;
      if (url !== undefined || !silent) return url;
      if (Date.now() > end) {
        throw new ProxyError(
          'SERVER_UNAVAILABLE',
          `The process ${silent.mark.pid} uses the store ${file} and has no URL, as a proxy that serves stdio in one process. ` +
            'Wait for its end, or start it without --no-daemon.',
        );
      }
      await new Promise((resolve) => setTimeout(resolve, POLL));
    }
  } finally {
    store.close();
  }
}
