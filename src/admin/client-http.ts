import { z } from 'zod';
import { ProxyError, isErrorCode, messageOf } from '../errors.js';
import { isFields } from '../protocol/messages.js';
import { checkName } from '../session/ids.js';
import { API_PATH } from './api-path.js';
import type { failure } from './schemas.js';
import { fetchOver, socketOf, type Fetch } from './socket-fetch.js';

export interface RemoteDoorOptions {
  /** Sent as `Authorization: Bearer`. */
  token?: string;
}

type Query = Readonly<Record<string, string | number | boolean | readonly string[] | undefined>>;

interface Asked {
  method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** The parts of the path, as they are. */
  path: readonly string[];
  query?: Query;
  body?: unknown;
  headers?: Record<string, string>;
  signal?: AbortSignal;
}

/** Requests to the HTTP API of a proxy; failures are the ProxyErrors that its door threw. */
export class ApiClient {
  readonly #base: string;
  readonly #where: string;
  readonly #fetch: Fetch;
  readonly #headers: Record<string, string>;

  /** @param url of the proxy, of its MCP endpoint or of the API itself; or `unix:PATH`, its socket on this machine */
  constructor(url: string, { token }: RemoteDoorOptions) {
    const socket = socketOf(url);
    const own = url.indexOf(API_PATH);
    this.#base =
      (socket === undefined
        ? (own < 0 ? url : url.slice(0, own)).replace(/(\/mcp)?\/*$/, '')
        : 'http://localhost') + API_PATH;
    this.#where = socket === undefined ? this.#base : url;
    this.#fetch = socket === undefined ? fetch : fetchOver(socket);
    this.#headers = token === undefined ? {} : { Authorization: `Bearer ${token}` };
  }

  /** @throws {ProxyError} */
  async ask<Schema extends z.ZodType>(asked: Asked, schema: Schema): Promise<z.output<Schema>> {
    const response = await this.send(asked);
    const parsed = schema.safeParse(await this.#read(response));
    if (parsed.success) return parsed.data;
    throw this.#strange(response, z.prettifyError(parsed.error));
  }

  /** A response that is no failure. @throws {ProxyError} */
  async send({ method, path, query = {}, body, headers, signal }: Asked): Promise<Response> {
    const url = `${this.#base}/${path.map(toSegment).join('/')}${toSearch(query)}`;
    let response: Response;
    try {
      response = await this.#fetch(url, {
        method,
        redirect: 'error',
        headers: {
          ...this.#headers,
          ...(body === undefined ? {} : { 'Content-Type': 'application/json' }),
          ...headers,
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        ...(signal ? { signal } : {}),
      });
    } catch (error) {
      throw this.#unreachable(error);
    }
    if (response.ok) return response;
    throw failureIn(await this.#read(response)) ?? this.#strange(response, `status ${response.status}`);
  }

  async #read(response: Response): Promise<unknown> {
    let text: string;
    try {
      text = await response.text();
    } catch (error) {
      throw this.#unreachable(error);
    }
    try {
      return text === '' ? undefined : (JSON.parse(text) as unknown);
    } catch {
      return text;
    }
  }

  #unreachable(error: unknown): ProxyError {
    const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
    return new ProxyError(
      'SERVER_UNAVAILABLE',
      `No proxy answers at ${this.#where}: ${messageOf(cause)}. Start it (mcp-session-proxy --http), or check the URL.`,
      { cause: error },
    );
  }

  #strange({ url }: Response, what: string): ProxyError {
    return new ProxyError(
      'SERVER_UNAVAILABLE',
      `What answers at ${url || this.#where} does not speak as this version of mcp-session-proxy does (${what}). Check the URL.`,
    );
  }
}

/** The failure that a body tells of: in the API's words, or in JSON-RPC's. */
function failureIn(body: unknown): ProxyError | undefined {
  if (!isFields(body) || !isFields(body.error)) return undefined;
  const { code, message, details, data } = body.error;
  if (typeof code === 'string' && typeof message === 'string')
    return toProxyError({ code, message, ...(isFields(details) ? { details } : {}) });
  if (!isFields(data) || typeof message !== 'string') return undefined;
  const { code: ours, ...more } = data;
  return toProxyError({ code: String(ours), message, details: more });
}

/** A failure as the door threw it. A code that only later versions know is told in the message. */
export function toProxyError({ code, message, details }: z.output<typeof failure>): ProxyError {
  const options = details === undefined ? {} : { details };
  if (isErrorCode(code)) return new ProxyError(code, message, options);
  return new ProxyError('INTERNAL', `${code}: ${message}`, options);
}

function toSegment(part: string): string {
  // These would be taken out of the path on the way.
  return /^\.{0,2}$/.test(part) ? checkName(part) : encodeURIComponent(part);
}

function toSearch(query: Query): string {
  const search = new URLSearchParams();
  for (const [key, value] of Object.entries(query)) if (value !== undefined) search.set(key, String(value));
  return search.size === 0 ? '' : `?${search.toString()}`;
}
