import type { Principal } from '../auth/principal.js';
import { EVERYBODY } from './access.js';
import { ProxyError } from '../errors.js';
import { checkName } from './ids.js';
import type { SessionManager } from './manager.js';
import type { Session } from './session.js';
import type { SessionView } from './view.js';

/**
 * From a reference to a session: its id, its name, or `@` and an alias it was shared under. What is not the principal's
 * is to them as if it were not there.
 */
export class Finder {
  readonly #manager: SessionManager;

  constructor(manager: SessionManager) {
    this.#manager = manager;
  }

  /**
   * The session of a reference.
   * @param closed whether a closed one will do
   * @throws {ProxyError} SESSION_NOT_FOUND, SESSION_CLOSED
   */
  session(who: Principal, ref: string, closed = false): Session {
    const session = this.lookUp(who, ref, 'agent') ?? this.lookUp(who, ref, 'store');
    if (!session) {
      throw new ProxyError(
        'SESSION_NOT_FOUND',
        `There is no session "${ref.slice(0, 80)}". session_list or GET /sessions names those there are.`,
      );
    }
    if (session.state === 'closed' && !closed) {
      throw new ProxyError('SESSION_CLOSED', `Session "${ref}" is closed for good. Create a new one.`);
    }
    return session;
  }

  /** The open session of that name. @throws {ProxyError} SESSION_NAME_INVALID */
  byName(who: Principal, name: string, scope: SessionView['scope']): Session | undefined {
    return this.#manager.byName(scope === 'store' ? EVERYBODY : who.id, checkName(name));
  }

  /** @returns undefined for what is not there or is somebody else's */
  lookUp(who: Principal, ref: string, scope: SessionView['scope']): Session | undefined {
    if (ref.startsWith('@')) return this.#manager.byAlias(who, ref.slice(1));
    const session = ref.startsWith('ses_') ? this.#manager.byId(ref) : undefined;
    if (session) return who.admin || this.#manager.mayUse(who, session) ? session : undefined;
    return this.byName(who, ref, scope);
  }
}
