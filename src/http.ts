import type { Server } from 'node:http';
import type { AddressInfo, ListenOptions } from 'node:net';
import { API_PATH, LOCAL_MCP_PATH } from './admin/api-path.js';
import { Api, refuse } from './admin/api.js';
import type { Door } from './admin/door.js';
import { createAuthenticate, createLocalAuthenticate, isAuthenticated } from './auth/authenticate.js';
import type { Principal } from './auth/principal.js';
import type { Config } from './config/schema.js';
import { ProxyError, messageOf } from './errors.js';
import { isLoopback } from './upstream/guard.js';
import { Listener, readBody, type Handler, type Routes } from './upstream/listener.js';
import { METADATA_PATH, challengeOf, metadataHandler } from './upstream/metadata.js';
import { ModernHttp, type ModernHttpOptions } from './upstream/modern-http.js';
import { MESSAGES_PATH, SSE_PATH, SseEndpoint } from './upstream/sse.js';
import { StreamableEndpoint, type StreamableOptions } from './upstream/streamable.js';

/** Makes a server reachable; resolves with where it is. @throws as `net.Server.listen` */
export type Bind = (
  server: Server,
  address: Pick<ListenOptions, 'host' | 'port' | 'path'>,
) => Promise<AddressInfo | string | null>;

const bindHere: Bind = (server, address) =>
  new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(address, () => resolve(server.address()));
  });

export interface HttpOptions extends Omit<StreamableOptions, 'modern' | 'maxBody'> {
  config: Config;
  modern: Omit<ModernHttpOptions, 'store'>;
  door: (who: Principal) => Door;
  /** Where connections come from, if not from this process. */
  bind?: Bind | undefined;
}

/** All that the proxy serves over HTTP: on a port, and on a socket of this machine for the user whom the proxy runs as. */
export class HttpSide {
  readonly #config: Config;
  readonly #bind: Bind;
  readonly #modern: ModernHttp;
  readonly #endpoint: StreamableEndpoint;
  readonly #sse: SseEndpoint;
  readonly #api: Api;
  readonly #listeners: Listener[] = [];

  constructor({ config, modern, door, bind = bindHere, ...options }: HttpOptions) {
    const { maxBody } = config.listen;
    this.#config = config;
    this.#bind = bind;
    this.#modern = new ModernHttp({ ...modern, store: options.store });
    this.#endpoint = new StreamableEndpoint({ ...options, maxBody, modern: this.#modern });
    this.#sse = new SseEndpoint({ ...options, maxBody });
    this.#api = new Api({ door, readBody: (request) => readBody(request, maxBody) });
  }

  /**
   * Serves on the port that the config names.
   * @returns the proxy's URL as this machine reaches it, and that of the endpoint as it was asked for
   * @throws {ProxyError} PORT_IN_USE, CONFIG_INVALID
   */
  async listen(): Promise<{ url: string; endpoint: string }> {
    const { listen, auth } = this.#config;
    const { host, port } = listen;
    if (!isLoopback(host) && !(isAuthenticated(auth) && listen.allowedHosts.length > 0)) {
      throw new ProxyError(
        'CONFIG_INVALID',
        `listen.host ${host} can be reached from other machines. Use 127.0.0.1, or say who may call (auth) and ` +
          `under which names the proxy is reached (listen.allowedHosts).`,
      );
    }
    const routes = new Map([...this.#pages(), ...this.#mcp(listen.path)]);
    if (auth.jwt) {
      const metadata = metadataHandler(auth.jwt, listen.path);
      routes.set(METADATA_PATH, metadata).set(`${METADATA_PATH}${listen.path}`, metadata);
    }
    const entrance = { authenticate: createAuthenticate(auth), local: false };
    const listener = new Listener(listen, routes, entrance, auth.jwt && challengeOf(auth.jwt));
    const bound = await listener
      .listen((server) => this.#bind(server, { host, port }))
      .catch((error: unknown) => {
        throw refusal(host, port, error);
      });
    this.#listeners.push(listener);
    const place = typeof bound === 'object' && bound ? bound : { address: host, port };
    const at = (name: string) => `http://${name.includes(':') ? `[${name}]` : name}:${place.port}`;
    return { url: at(reachable(place.address)), endpoint: `${at(place.address)}${listen.path}` };
  }

  /**
   * Serves on a socket of this machine. Who reaches it may write the store as well: access is the file system's affair.
   * @param more routes that are offered there alone
   * @throws as `net.Server.listen`
   */
  async listenLocally(path: string, more: Routes): Promise<void> {
    const routes = new Map([...this.#pages(), ...this.#mcp(LOCAL_MCP_PATH), ...more]);
    const entrance = { authenticate: createLocalAuthenticate(this.#config.auth), local: true };
    const listener = new Listener(this.#config.listen, routes, entrance);
    await listener.listen((server) => this.#bind(server, { path }));
    this.#listeners.push(listener);
  }

  /** From now on a connection ends with its next response: another process takes over. */
  leave(): void {
    for (const listener of this.#listeners) listener.leave();
  }

  /** From now on new requests are told to come back later. */
  drain(): void {
    for (const listener of this.#listeners) listener.drain();
  }

  /** Ends what is open for changes alone, so that clients know that it was on purpose. */
  endListening(): void {
    this.#modern.close();
  }

  /** Ends the streams of those who follow what happens to sessions: nothing more will. */
  endFollowing(): void {
    this.#api.close();
  }

  /** Ends every connection; resolves when nothing listens any more. */
  async close(): Promise<void> {
    await Promise.all(this.#listeners.map((listener) => listener.close()));
  }

  #mcp(path: string): [string, Handler][] {
    const endpoint: Handler = (...request) => this.#endpoint.handle(...request);
    const sse: Handler = (...request) => this.#sse.open(...request);
    const byName: Handler = (request, response, rest, entrance) => {
      const [, name, end] = /^(\/[^/]+)(\/.+)$/.exec(rest) ?? [];
      if (end === path) return endpoint(request, response, `/s${name}`, entrance);
      if (end === SSE_PATH) return sse(request, response, `/s${name}`, entrance);
      throw new ProxyError('NOT_FOUND', `Nothing is here. A session is at /s/NAME${path}.`);
    };
    return [
      [SSE_PATH, sse],
      [`${SSE_PATH}/`, sse],
      [MESSAGES_PATH, (...request) => this.#sse.message(...request)],
      [path, endpoint],
      [`${path}/`, endpoint],
      // The other way round for clients that want an endpoint to end with its transport's name.
      ['/s/', byName],
    ];
  }

  #pages(): [string, Handler][] {
    const api: Handler = (...request) => this.#api.handle(...request);
    api.refuse = refuse;
    return [
      [API_PATH, api],
      [`${API_PATH}/`, api],
      ['/health', sayStatus('ok')],
      ['/ready', sayStatus('ready')],
    ];
  }
}

/** Answers programs that watch over this one; while it stops, the listener answers for it. */
function sayStatus(status: string): Handler {
  const handler: Handler = (_, response) => {
    response.writeHead(200, { 'Content-Type': 'application/json' }).end(JSON.stringify({ status }));
    return Promise.resolve();
  };
  handler.anyHost = true;
  return handler;
}

function refusal(host: string, port: number, error: unknown): ProxyError {
  const inUse = (error as NodeJS.ErrnoException).code === 'EADDRINUSE';
  const text = inUse
    ? `Port ${port} on ${host} is in use. Stop the program that has it, or choose another with listen.port or --http ${host}:PORT.`
    : `Cannot listen on ${host}:${port}: ${messageOf(error)}. Check listen.host and listen.port.`;
  return new ProxyError(inUse ? 'PORT_IN_USE' : 'CONFIG_INVALID', text, { cause: error });
}

/** Where this machine reaches a listener; one on all addresses is on loopback as well. */
function reachable(address: string): string {
  if (address === '0.0.0.0') return '127.0.0.1';
  return address === '::' ? '::1' : address;
}
