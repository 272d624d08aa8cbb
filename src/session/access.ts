import type { Principal } from '../auth/principal.js';
import { ProxyError } from '../errors.js';

/**
 * Owner of the sessions that all principals share. No authenticated principal has this id: theirs begin with how they
 * were authenticated.
 */
export const EVERYBODY = '*';

/** Whether a principal may use a session of that owner. */
export function mayUse(principal: Principal, owner: string): boolean {
  return owner === principal.id || owner === EVERYBODY;
}

/** Whether a session is the principal's own, and not one that is only shared with them. */
export function isOwn(principal: Principal, session: { principal: string }): boolean {
  return principal.admin || mayUse(principal, session.principal);
}

/**
 * Whoever a session is shared with works in it; what becomes of it is its owner's affair.
 * @param done what is refused, as in "closed"
 * @throws {ProxyError} FORBIDDEN
 */
export function checkOwn(
  principal: Principal,
  session: { id: string; principal: string },
  done: string,
): void {
  if (isOwn(principal, session)) return;
  throw new ProxyError(
    'FORBIDDEN',
    `Session ${session.id} is shared with you, and ${done} by its owner or an administrator alone.`,
  );
}
