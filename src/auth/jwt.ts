import { readFileSync } from 'node:fs';
import {
  createLocalJWKSet,
  createRemoteJWKSet,
  errors,
  jwtVerify,
  type JSONWebKeySet,
  type JWTVerifyGetKey,
} from 'jose';
import type { JwtConfig } from '../config/auth.js';
import { ProxyError, messageOf } from '../errors.js';
import type { Principal } from './principal.js';
import { unauthorized } from './unauthorized.js';

/** Asymmetric only: a shared secret in a JWKS would let every verifier mint tokens. */
const ALGORITHMS = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA'];

/**
 * Verifies tokens of one issuer. MCP, authorization: a server MUST check that a token was issued for it (audience). The
 * principal is issuer and subject, so that a new token of the same person finds their sessions.
 * @throws {ProxyError} CONFIG_INVALID when the key file cannot be read
 */
export function createJwtVerifier({ issuer, audience, jwks, adminSubjects }: JwtConfig) {
  const keys = keysFrom(jwks);
  return async (token: string): Promise<Principal> => {
    try {
      const { payload } = await jwtVerify(token, keys, {
        issuer,
        audience,
        algorithms: ALGORITHMS,
        requiredClaims: ['sub', 'exp'],
      });
      const subject = payload.sub ?? '';
      return { id: `jwt:${issuer}#${subject}`, admin: adminSubjects.includes(subject) };
    } catch (error) {
      if (error instanceof errors.JOSEError)
        throw unauthorized(`The token was refused: ${error.message}.`, error);
      throw new ProxyError('UNAUTHORIZED', `The keys of ${issuer} cannot be had: ${messageOf(error)}.`, {
        cause: error,
      });
    }
  };
}

function keysFrom(jwks: string): JWTVerifyGetKey {
  if (/^https?:/.test(jwks)) return createRemoteJWKSet(new URL(jwks), { timeoutDuration: 5000 });
  try {
    return createLocalJWKSet(JSON.parse(readFileSync(jwks, 'utf8')) as JSONWebKeySet);
  } catch (error) {
    throw new ProxyError(
      'CONFIG_INVALID',
      `auth.jwt.jwks: the file ${jwks} cannot be read: ${messageOf(error)}.`,
      {
        cause: error,
      },
    );
  }
}
