import { ProxyError } from '../errors.js';

/** A caller who is not let in, and what would let them in. */
export function unauthorized(what: string, cause?: unknown): ProxyError {
  return new ProxyError('UNAUTHORIZED', `Authentication is needed. ${what}`, { cause });
}
