import type { Principal } from '../auth/principal.js';
import type { SessionsConfig } from '../config/schema.js';
import { ProxyError } from '../errors.js';
import type { ClientProfile } from '../protocol/client.js';
import type { Fields } from '../protocol/messages.js';
import type { Attached, Attachments } from '../session/attachments.js';
import type { SessionManager } from '../session/manager.js';
import type { Session } from '../session/session.js';

/** How long `initialize` waits for servers that were never started before, milliseconds; clients give up after ten. */
const FIRST_START_WAIT = 3000;

/** Name of the session that all clients of a principal share where the policy says so. */
export const DEFAULT_SESSION = 'default';

export interface IntroduceOptions {
  manager: SessionManager;
  attachments: Attachments;
  /** What a client gets that names no session. */
  unidentified: SessionsConfig['unidentified'];
}

/**
 * What every legacy edge does with `initialize`: a session for a stranger, the same one for a client that is known.
 * No server is started for it, but those that nobody knows yet.
 */
export async function introduce(
  { manager, attachments, unidentified }: IntroduceOptions,
  client: ClientProfile,
  who: Principal | Attached,
  address?: string,
): Promise<{ result: Fields; attached: Attached }> {
  const attached = 'session' in who ? who : attach();
  if ('session' in who) attachments.introduce(who.attachment, client);
  const { session } = attached;
  await meetServers(session, client);
  return { result: { protocolVersion: client.protocolVersion, ...session.describe() }, attached };

  function attach(): Attached {
    const principal = who as Principal;
    if (address !== undefined)
      return attachments.attach(addressed(manager, principal, address), client, false);
    switch (unidentified) {
      case 'auto':
      case 'new':
        return attachments.attach(manager.create(principal), client, true);
      case 'principal':
        return attachments.attach(manager.open(principal, DEFAULT_SESSION), client, false);
      case 'reject':
        throw new ProxyError(
          'SESSION_REQUIRED',
          'Say which session you mean: use the URL …/s/NAME or the header X-MCP-Session (sessions.unidentified is reject).',
        );
    }
  }
}

/** Starts servers that nobody knows yet, so that the session can say what they offer; not for long. */
export async function meetServers(session: Session, client: ClientProfile): Promise<void> {
  if (session.described) return;
  let stop = () => {};
  const enough = new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, FIRST_START_WAIT);
    stop = () => clearTimeout(timer);
  });
  await Promise.race([session.servers.start(client), enough]);
  stop();
}

/**
 * The session at an address: a name, made when there is none, or `@` and an alias.
 * @throws {ProxyError} SESSION_NAME_INVALID, SESSION_NOT_FOUND
 */
export function addressed(manager: SessionManager, principal: Principal, address: string): Session {
  if (!address.startsWith('@')) return manager.open(principal, address);
  const shared = manager.byAlias(principal, address.slice(1));
  if (shared) return shared;
  throw new ProxyError('SESSION_NOT_FOUND', `No session is shared with you as "${address.slice(0, 80)}".`);
}
