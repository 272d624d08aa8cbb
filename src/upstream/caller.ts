import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Principal } from '../auth/principal.js';
import { ProxyError } from '../errors.js';
import type { Attached, Attachments } from '../session/attachments.js';
import type { Entrance } from './listener.js';

/** An HTTP request with who sent it and what it says of the session it is for, but for hints. */
export interface Caller {
  request: IncomingMessage;
  response: ServerResponse;
  principal: Principal;
  /** A client's pipe, carried by a shim. */
  local: boolean;
  /** The session that the URL or a header names. */
  address: string | undefined;
  /** What its id leads to. */
  known: Attached | undefined;
}

/**
 * The caller of a request.
 * @param path what follows the endpoint's own path
 * @throws {ProxyError} UNAUTHORIZED, NOT_FOUND, SESSION_NAME_INVALID, SESSION_IN_USE
 */
export async function callerOf(
  request: IncomingMessage,
  response: ServerResponse,
  path: string,
  { authenticate, local }: Entrance,
  attachments: Attachments,
): Promise<Caller> {
  const principal = await authenticate(request.headers);
  const key = sessionKey(request);
  const known = key === undefined ? undefined : attachments.find(key, principal);
  return { request, response, principal, local, address: addressOf(request, path), known };
}

/**
 * `/mcp/s/NAME`, or the header X-MCP-Session.
 * @throws {ProxyError} NOT_FOUND, SESSION_NAME_INVALID
 */
function addressOf(request: IncomingMessage, path: string): string | undefined {
  const header = request.headers['x-mcp-session'];
  if (path === '' || path === '/') return typeof header === 'string' ? header : undefined;
  const [, name] = /^\/s\/([^/]+)$/.exec(path) ?? [];
  if (name === undefined) throw new ProxyError('NOT_FOUND', 'Nothing is here. A session is at …/s/NAME.');
  try {
    return decodeURIComponent(name);
  } catch (error) {
    throw new ProxyError('SESSION_NAME_INVALID', `"${name.slice(0, 80)}" is no percent-encoded text.`, {
      cause: error,
    });
  }
}

export function sessionKey(request: IncomingMessage): string | undefined {
  const key = request.headers['mcp-session-id'];
  return typeof key === 'string' ? key : undefined;
}

/** @throws {ProxyError} PARSE_ERROR */
export function parseJson(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch (error) {
    throw new ProxyError('PARSE_ERROR', 'The request body is not valid JSON.', { cause: error });
  }
}

/** Whether the client takes that media type; one that names none takes plain JSON. */
export function accepts(request: IncomingMessage, type: string): boolean {
  const { accept } = request.headers;
  return accept !== undefined && (accept.includes(type) || accept.includes('*/*'));
}
