import { createHash, timingSafeEqual } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { TokenConfig } from '../config/auth.js';
import { ProxyError, messageOf } from '../errors.js';
import { addSecrets } from '../secrets.js';
import type { Principal } from './principal.js';

/** Tokens named in the config; of each only the SHA-256 is kept. */
export class StaticTokens {
  readonly #known: { hash: Buffer; principal: Principal }[];

  /** @throws {ProxyError} CONFIG_INVALID when the file of a token cannot be read */
  constructor(tokens: readonly TokenConfig[]) {
    this.#known = tokens.map((token) => ({
      hash: hashOf(token),
      principal: { id: `token:${token.name}`, admin: token.admin },
    }));
  }

  /** Takes the same time whether and where the token is found. */
  find(token: string): Principal | undefined {
    const hash = sha256(token);
    let found: Principal | undefined;
    for (const known of this.#known) if (timingSafeEqual(known.hash, hash)) found = known.principal;
    return found;
  }
}

function hashOf({ name, sha256: hash, value, file }: TokenConfig): Buffer {
  if (hash !== undefined) return Buffer.from(hash, 'hex');
  if (value !== undefined) return sha256(value);
  try {
    const token = readFileSync(file ?? '', 'utf8').trim();
    addSecrets([token]);
    return sha256(token);
  } catch (error) {
    throw new ProxyError(
      'CONFIG_INVALID',
      `auth.tokens: the file of token "${name}" cannot be read: ${messageOf(error)}.`,
      {
        cause: error,
      },
    );
  }
}

function sha256(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
