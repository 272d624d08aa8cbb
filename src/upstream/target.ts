import type { Principal } from '../auth/principal.js';
import type { SessionsConfig } from '../config/schema.js';
import { ProxyError } from '../errors.js';
import { routingOf } from '../protocol/methods.js';
import type { SessionManager } from '../session/manager.js';
import type { Session } from '../session/session.js';
import { addressed, DEFAULT_SESSION } from './introduce.js';
import type { Target } from './modern.js';

/**
 * Name of the session that is asked, for all of a principal's requests that name none, what servers offer. Nothing else
 * is done in it, so that it holds no state.
 */
const LISTING_SESSION = '.lists';

/** The session that a request of 2026-07-28 is for; each says so anew. */
export function targetOf(
  manager: SessionManager,
  { principal, address }: { principal: Principal; address: string | undefined },
  method: string,
  unidentified: SessionsConfig['unidentified'],
): Target {
  const open = (session: Session): Target => ({ key: session.id, run: (job) => job(session) });
  if (address !== undefined) return open(addressed(manager, principal, address));
  switch (unidentified) {
    // Every request of such a client stands alone: only a session they share lets it find its browser again.
    case 'auto':
    case 'principal':
      return open(manager.open(principal, DEFAULT_SESSION));
    case 'new':
      if (isListing(method)) return open(manager.open(principal, LISTING_SESSION));
      return { key: '', run: (job) => manager.temporarily(principal, job) };
    case 'reject':
      throw new ProxyError(
        'SESSION_REQUIRED',
        'Say which session you mean: use the URL …/s/NAME or the header X-MCP-Session (sessions.unidentified is reject).',
      );
  }
}

/** Whether a request only asks what there is. */
function isListing(method: string): boolean {
  return method === 'server/discover' || method === 'subscriptions/listen' || routingOf(method).by === 'each';
}
