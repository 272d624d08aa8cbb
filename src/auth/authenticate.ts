import type { IncomingHttpHeaders } from 'node:http';
import type { AuthConfig } from '../config/auth.js';
import { createJwtVerifier } from './jwt.js';
import { LOCAL_PRINCIPAL, type Principal } from './principal.js';
import { StaticTokens } from './tokens.js';
import { unauthorized } from './unauthorized.js';

/** Says who sent a request. @throws {ProxyError} UNAUTHORIZED */
export type Authenticate = (headers: IncomingHttpHeaders) => Principal | Promise<Principal>;

/**
 * The authentication that the config asks for; without any, everybody is the local principal, which the proxy allows on
 * loopback alone.
 * @throws {ProxyError} CONFIG_INVALID when a file of the config cannot be read
 */
export function createAuthenticate(config: AuthConfig): Authenticate {
  const { tokens, jwt, trustedHeader } = config;
  if (trustedHeader !== undefined) return (headers) => fromHeader(headers, trustedHeader);
  if (tokens.length === 0 && !jwt) return () => LOCAL_PRINCIPAL;
  const known = new StaticTokens(tokens);
  const verify = jwt && createJwtVerifier(jwt);
  return (headers) => {
    const token = bearerOf(headers);
    if (token === undefined) throw unauthorized('Send the header "Authorization: Bearer TOKEN".');
    const principal = known.find(token);
    if (principal) return principal;
    if (!verify) throw unauthorized('The token is not known here.');
    return verify(token);
  };
}

/**
 * The same for those who come over the machine's own socket, and so may write the store: they are the local principal,
 * but for one who brings a token, and then means its principal.
 */
export function createLocalAuthenticate(config: AuthConfig): Authenticate {
  const { tokens, jwt, trustedHeader } = config;
  if (trustedHeader !== undefined || (tokens.length === 0 && !jwt)) return () => LOCAL_PRINCIPAL;
  let authenticate: Authenticate | undefined; // files of keys are read for those alone who bring a token
  return (headers) =>
    headers.authorization === undefined
      ? LOCAL_PRINCIPAL
      : (authenticate ??= createAuthenticate(config))(headers);
}

/** Whether requests are asked who they are. */
export function isAuthenticated({ tokens, jwt, trustedHeader }: AuthConfig): boolean {
  return tokens.length > 0 || jwt !== undefined || trustedHeader !== undefined;
}

/** RFC 6750: the scheme is case-insensitive; a token in the query is never read. */
function bearerOf({ authorization }: IncomingHttpHeaders): string | undefined {
  return /^bearer +([\w\-.~+/]+=*)$/i.exec(authorization ?? '')?.[1];
}

/** A proxy in front has authenticated the caller; the config vouches that nobody else can reach us. */
function fromHeader(headers: IncomingHttpHeaders, name: string): Principal {
  const value = headers[name.toLowerCase()];
  if (typeof value !== 'string' || value === '' || value.includes(',')) {
    throw unauthorized(`The header ${name}, which the proxy in front sets, is missing or not one name.`);
  }
  return { id: `header:${value}`, admin: false };
}
