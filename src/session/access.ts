import type { Principal } from '../auth/principal.js';

/**
 * Owner of the sessions that all principals share. No authenticated principal has this id: theirs begin with how they
 * were authenticated.
 */
export const EVERYBODY = '*';

/** Whether a principal may use a session of that owner. */
export function mayUse(principal: Principal, owner: string): boolean {
  return owner === principal.id || owner === EVERYBODY;
}
