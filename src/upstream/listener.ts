import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Authenticate } from '../auth/authenticate.js';
import type { ListenConfig } from '../config/schema.js';
import { ProxyError, asProxyError, messageOf } from '../errors.js';
import { log } from '../logger.js';
import type { Id } from '../protocol/messages.js';
import { TCP_OPTIONS } from '../protocol/tcp.js';
import { checkCaller } from './guard.js';

/** Bounds on what a stranger can make the process hold. */
const MAX_HEADER_BYTES = 16 * 1024;
const HEADERS_TIMEOUT = 10_000;
const REQUEST_TIMEOUT = 30_000;
const CHECKING_INTERVAL = 5000; // Node's own default looks for late requests every 30 s only
const KEEP_ALIVE_TIMEOUT = 75_000; // longer than the pools of common clients, so that theirs end first

/** How callers come in: what is the same for all of one listener. */
export interface Entrance {
  /** Says who they are. */
  authenticate: Authenticate;
  /**
   * The socket of this machine: what comes is a client's pipe, carried by a shim. It waits for a receipt (102) of each
   * message before it sends the next, takes up every stream that breaks, and has no headers that could belie the body.
   */
  local: boolean;
}

export interface Handler {
  (request: IncomingMessage, response: ServerResponse, path: string, entrance: Entrance): Promise<void>;
  /** Answers with a failure, also one from before it was asked; by default as a JSON-RPC error. */
  refuse?: (response: ServerResponse, error: ProxyError) => void;
  /** Answers whatever Host is asked for: a probe calls by an address, and learns nothing but that somebody is there. */
  anyHost?: boolean;
}

/** Handlers by path. One that ends with a slash takes all below it, and is given what follows. */
export type Routes = ReadonlyMap<string, Handler>;

/** The HTTP server: checks who calls before anything is read or allocated, then hands over by path. */
export class Listener {
  readonly #config: ListenConfig;
  readonly #routes: Routes;
  readonly #entrance: Entrance;
  readonly #challenge: (request: IncomingMessage) => string;
  readonly #server: Server;
  #draining = false;
  #leaving = false;

  /**
   * @param challenge the WWW-Authenticate header of a 401
   */
  constructor(
    config: ListenConfig,
    routes: Routes,
    entrance: Entrance,
    challenge: (request: IncomingMessage) => string = () => 'Bearer',
  ) {
    this.#config = config;
    this.#routes = routes;
    this.#entrance = entrance;
    this.#challenge = challenge;
    this.#server = createServer(
      {
        maxHeaderSize: MAX_HEADER_BYTES,
        headersTimeout: HEADERS_TIMEOUT,
        connectionsCheckingInterval: CHECKING_INTERVAL,
        requestTimeout: REQUEST_TIMEOUT,
        keepAliveTimeout: KEEP_ALIVE_TIMEOUT,
        ...TCP_OPTIONS,
      },
      (request, response) => void this.#handle(request, response),
    );
  }

  /** @param bind makes the server reachable, and says where it is */
  listen<Where>(bind: (server: Server) => Promise<Where>): Promise<Where> {
    return bind(this.#server);
  }

  /** From now on a connection ends with its next response: another process takes over. */
  leave(): void {
    this.#leaving = true;
    this.#server.closeIdleConnections();
  }

  /** From now on new requests are told to come back later. */
  drain(): void {
    this.#draining = true;
  }

  /** Ends every connection; resolves when the port is free. */
  close(): Promise<void> {
    return new Promise((resolve) => {
      this.#server.close(() => resolve());
      this.#server.closeAllConnections();
    });
  }

  #find(path: string): [Handler | undefined, string] {
    const exact = this.#routes.get(path);
    if (exact) return [exact, ''];
    for (const [prefix, handler] of this.#routes) {
      if (prefix.endsWith('/') && path.startsWith(prefix)) return [handler, path.slice(prefix.length - 1)];
    }
    return [undefined, ''];
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    response.on('error', (error) => log.upstream.debug(error.message));
    if (this.#leaving) response.shouldKeepAlive = false;
    const [path = ''] = (request.url ?? '').split('?');
    const [handler, rest] = this.#find(path);
    try {
      checkCaller(request, this.#config, handler?.anyHost);
      // Who would only have to ask again of the next process is told to.
      if (this.#draining || (this.#leaving && this.#entrance.local))
        throw new ProxyError('SHUTTING_DOWN', 'The proxy is shutting down. Try again in a moment.');
      if (!handler)
        throw new ProxyError('NOT_FOUND', `Nothing is here. The MCP endpoint is ${this.#config.path}.`);
      await handler(request, response, rest, this.#entrance);
    } catch (thrown) {
      if (!(thrown instanceof ProxyError)) log.upstream.error({ err: thrown }, messageOf(thrown));
      const error = asProxyError(thrown);
      if (error.status === 401 && !response.headersSent)
        response.setHeader('WWW-Authenticate', this.#challenge(request));
      (handler?.refuse ?? answerError)(response, error);
    }
  }
}

/** Ends a response with a failure, as a JSON-RPC error; `id` is the request's, where it could be read. */
export function answerError(response: ServerResponse, error: ProxyError, id: Id | null = null): void {
  if (response.headersSent) return void response.end();
  const body = JSON.stringify({ jsonrpc: '2.0', id, error: error.toJsonRpc() });
  response.writeHead(error.status, {
    'Content-Type': 'application/json',
    'Content-Length': Buffer.byteLength(body),
    ...(error.status === 503 ? { 'Retry-After': '5' } : {}),
    ...(error.code === 'SHUTTING_DOWN' ? { Connection: 'close' } : {}),
    ...(error.status === 405 ? { Allow: 'GET, POST, DELETE' } : {}),
  });
  response.end(body);
}

/**
 * The body of a request.
 * @throws {ProxyError} BODY_TOO_LARGE as soon as it is, PARSE_ERROR for text that is not UTF-8
 */
export function readBody(request: IncomingMessage, limit: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const tooLarge = () =>
      reject(
        new ProxyError('BODY_TOO_LARGE', `The request body is larger than ${limit} bytes (listen.maxBody).`),
      );
    if (Number(request.headers['content-length'] ?? 0) > limit) return tooLarge();
    const chunks: Buffer[] = [];
    let length = 0;
    request.on('data', (chunk: Buffer) => {
      length += chunk.length;
      if (length <= limit) return void chunks.push(chunk);
      // What still comes is read and dropped: a connection cut while the client writes would cost it our answer.
      chunks.length = 0;
      tooLarge();
    });
    request.on('error', (error) =>
      reject(new ProxyError('PARSE_ERROR', `The request broke off: ${error.message}.`)),
    );
    request.on('end', () => {
      try {
        resolve(UTF8.decode(chunks.length === 1 ? chunks[0] : Buffer.concat(chunks)));
      } catch (error) {
        reject(new ProxyError('PARSE_ERROR', 'The request body is not valid UTF-8.', { cause: error }));
      }
    });
  });
}

const UTF8 = new TextDecoder('utf-8', { fatal: true });
