import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import type { Transport } from '@modelcontextprotocol/sdk/shared/transport.js';
import { LOCAL_MCP_PATH, mcpEndpoint } from '../admin/api-path.js';
import { remoteDoor } from '../admin/client.js';
import { fetchOver, socketOf } from '../admin/socket-fetch.js';
import type { Door } from '../admin/door.js';
import { LOCAL_PRINCIPAL } from '../auth/principal.js';
import { systemClock, type Clock } from '../clock.js';
import { loadConfig } from '../config/load.js';
import type { Config } from '../config/schema.js';
import { SessionProxy } from '../proxy.js';
import type { Hook } from '../session/hooks.js';
import { toConfig, type ConfigInput } from './config.js';
import { ProxyHandle } from './handle.js';
import type { Link, Territory } from './link.js';
import { PipeTransport } from './transport.js';

export type OpenOptions = {
  /** Serve MCP clients and the HTTP API, where `listen` of the config says. */
  listen?: boolean;
  clock?: Clock;
  /** Laid around calls, events and looks at sessions; the first is the outermost. */
  hooks?: readonly Hook[];
} & (
  | {
      /** What `loadConfig` gave, or the keys of a config file. */
      config: Config | ConfigInput;
    }
  | {
      /** Path of a config file. */
      file: string;
    }
);

/**
 * A proxy in this process. It starts no server until one is needed; its end pauses all sessions and stops all servers.
 *
 * @example
 * await using proxy = await openProxy({
 *   config: { servers: { browser: { command: 'npx', args: ['-y', '@playwright/mcp', '--headless'] } } },
 * });
 * await proxy.forAgent('alice').withSession('checkout', async (session) => {
 *   await session.useTool('browser_navigate', { url: 'https://example.com' });
 * });
 *
 * @throws {ProxyError} CONFIG_INVALID, STORE_FAILED, PORT_IN_USE
 */
export async function openProxy(options: OpenOptions): Promise<ProxyHandle> {
  const { clock = systemClock, listen = false, hooks } = options;
  const config = 'file' in options ? loadConfig(options.file) : readConfig(options.config);
  const proxy = new SessionProxy({ config, clock, hooks });
  try {
    return new ProxyHandle(localLink(proxy, clock, listen ? await proxy.listen() : undefined));
  } catch (error) {
    await proxy.stop();
    throw error;
  }
}

export interface ConnectOptions {
  /** Sent as `Authorization: Bearer`; its principal is who acts. */
  token?: string;
  /** Address of the MCP endpoint, where it is not `/mcp`. */
  endpoint?: string;
}

/**
 * A proxy elsewhere, over its HTTP API. Nothing is sent before the first operation; that one fails with
 * SERVER_UNAVAILABLE when no proxy is there, and with UNAUTHORIZED when it does not know the token.
 *
 * @example
 * await using proxy = connectProxy('http://127.0.0.1:8808', { token: process.env.PROXY_TOKEN });
 * const session = await proxy.forAgent().getOrCreate('research');
 *
 * @param url of the proxy or of its MCP endpoint; or `unix:PATH`, its socket on this machine, which `status` tells
 */
export function connectProxy(url: string, { token, endpoint }: ConnectOptions = {}): ProxyHandle {
  const socket = socketOf(url);
  const mcp = endpoint ?? (socket === undefined ? mcpEndpoint(url) : `http://localhost${LOCAL_MCP_PATH}`);
  const door = remoteDoor(url, token === undefined ? {} : { token });
  return new ProxyHandle(remoteLink(door, mcp, token, socket));
}

function readConfig(config: Config | ConfigInput): Config {
  return 'warnings' in config ? config : toConfig(config);
}

function localLink(proxy: SessionProxy, clock: Clock, endpoint: string | undefined): Link {
  return {
    clock,
    endpoint,
    guest: LOCAL_PRINCIPAL.id,
    door: proxy.door(),
    doorOf: (agent) => ({
      door: proxy.door({ id: `agent:${agent}`, admin: false }),
      scope: 'agent',
      prefix: '',
    }),
    transport: (address) => new PipeTransport((input, output) => proxy.serveStdio(input, output, address)),
    [Symbol.asyncDispose]: () => proxy.stop(),
  };
}

function remoteLink(door: Door, endpoint: string, token: string | undefined, socket?: string): Link {
  const headers = token === undefined ? {} : { Authorization: `Bearer ${token}` };
  return {
    clock: systemClock,
    // An address is for clients that speak HTTP over a port.
    endpoint: socket === undefined ? endpoint : undefined,
    guest: undefined,
    door,
    // The token's principal owns them all: their names tell the agents apart.
    doorOf: (agent): Territory => ({ door, scope: 'agent', prefix: `${agent}.` }),
    transport: (address): Transport =>
      new StreamableHTTPClientTransport(new URL(`${endpoint}/s/${address}`), {
        requestInit: { headers },
        ...(socket === undefined ? {} : { fetch: fetchOver(socket) }),
      }),
    [Symbol.asyncDispose]: () => door[Symbol.asyncDispose](),
  };
}
