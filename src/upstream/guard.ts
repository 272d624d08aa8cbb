import type { IncomingMessage } from 'node:http';
import type { ListenConfig } from '../config/schema.js';
import { ProxyError } from '../errors.js';

/** Names by which a browser on this machine may call a loopback listener. */
const LOOPBACK_HOSTS = new Set(['localhost', '127.0.0.1', '[::1]']);

const LOOPBACK_ADDRESSES = new Set(['localhost', '127.0.0.1', '::1']);

/** Whether only this machine can reach a listener on that address. */
export function isLoopback(host: string): boolean {
  return LOOPBACK_ADDRESSES.has(host) || /^127\.\d+\.\d+\.\d+$/.test(host);
}

/**
 * Refuses requests that a web page smuggled in by DNS rebinding or across origins. 2025-11-25, transports: servers
 * MUST validate Origin and answer an invalid one with 403; Host is checked as well, because a rebound page's own origin
 * needs no header.
 * @throws {ProxyError} FORBIDDEN_HOST, FORBIDDEN_ORIGIN
 */
export function checkCaller(request: IncomingMessage, config: ListenConfig, anyHost = false): void {
  const hosts = headerValues(request, 'host');
  const [host = ''] = hosts;
  if (hosts.length !== 1 || !(anyHost || isAllowedHost(host, config))) {
    throw new ProxyError(
      'FORBIDDEN_HOST',
      `The Host "${host}" is not allowed here. Use localhost or 127.0.0.1, or add it to listen.allowedHosts.`,
    );
  }
  const origins = headerValues(request, 'origin');
  if (origins.length === 0) {
    // A browser names no origin for an image or a link, but says that it is another site's.
    const [site] = headerValues(request, 'sec-fetch-site');
    if (site === undefined || site === 'same-origin' || site === 'none') return;
    throw new ProxyError(
      'FORBIDDEN_ORIGIN',
      'A page of another site sent this request. It is not allowed here.',
    );
  }
  const [origin = ''] = origins;
  if (origins.length > 1 || !isAllowedOrigin(origin, config)) {
    throw new ProxyError(
      'FORBIDDEN_ORIGIN',
      `The Origin "${origin}" is not allowed here. Add it to listen.allowedOrigins if its pages may use your servers.`,
    );
  }
}

/** Node joins or drops repeated headers; here each counts. */
function headerValues({ rawHeaders }: IncomingMessage, name: string): string[] {
  const values: string[] = [];
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const header = rawHeaders[i] ?? '';
    if (header.length === name.length && header.toLowerCase() === name) values.push(rawHeaders[i + 1] ?? '');
  }
  return values;
}

function isAllowedHost(host: string, { allowedHosts }: ListenConfig): boolean {
  const name = withoutPort(host);
  return (
    name !== undefined &&
    (LOOPBACK_HOSTS.has(name) || allowedHosts.some((allowed) => allowed.toLowerCase() === name))
  );
}

/** Plain name or bracketed address, with a port or without; nothing else, such as user names or a trailing dot. */
function withoutPort(host: string): string | undefined {
  return /^([a-z0-9-]+(?:\.[a-z0-9-]+)*|\[[0-9a-f:.]+\])(?::\d{1,5})?$/.exec(host.toLowerCase())?.[1];
}

function isAllowedOrigin(origin: string, { allowedOrigins }: ListenConfig): boolean {
  if (allowedOrigins.includes(origin)) return true;
  const [, name] = /^https?:\/\/(.+)$/.exec(origin) ?? [];
  return name !== undefined && LOOPBACK_HOSTS.has(withoutPort(name) ?? '');
}
