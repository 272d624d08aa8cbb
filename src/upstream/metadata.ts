import type { IncomingMessage } from 'node:http';
import type { JwtConfig } from '../config/auth.js';
import type { Handler } from './listener.js';

/** RFC 9728: path of the OAuth protected-resource metadata; that of a resource with a path has it behind this one. */
export const METADATA_PATH = '/.well-known/oauth-protected-resource';

/** Says who issues tokens for the MCP endpoint at `path`. */
export function metadataHandler({ issuer, audience }: JwtConfig, path: string): Handler {
  return (request, response) => {
    const body = JSON.stringify({
      resource: `${originOf(request, audience)}${path}`,
      authorization_servers: [issuer],
      bearer_methods_supported: ['header'],
    });
    response.writeHead(200, {
      'Content-Type': 'application/json',
      'Content-Length': Buffer.byteLength(body),
    });
    response.end(body);
    return Promise.resolve();
  };
}

/** RFC 9728, 5.1: where a client that was refused learns whom to ask for a token. */
export function challengeOf({ audience }: JwtConfig): (request: IncomingMessage) => string {
  return (request) => `Bearer resource_metadata="${originOf(request, audience)}${METADATA_PATH}"`;
}

/** Where the caller reaches us; only the audience can tell that a proxy in front speaks TLS. */
function originOf({ headers: { host = 'localhost' } }: IncomingMessage, audience: string): string {
  const known = URL.canParse(audience) ? new URL(audience) : undefined;
  return known?.protocol === 'https:' && known.host === host ? known.origin : `http://${host}`;
}
