import { createHash } from 'node:crypto';
import type { Principal } from '../auth/principal.js';
import type { SessionsConfig } from '../config/sessions.js';
import { ProxyError, asProxyError } from '../errors.js';
import { log } from '../logger.js';
import type { ClientProfile } from '../protocol/client.js';
import type { Fields, Outcome } from '../protocol/messages.js';
import type { Handle } from '../protocol/methods.js';
import type { Store } from '../store/types.js';
import type { Attached, Attachments } from './attachments.js';
import type { Attachment } from './attachment.js';
import type { Finder } from './finder.js';
import type { SessionManager } from './manager.js';
import { asToolResult } from './loss.js';
import type { Router } from './router.js';
import type { Session } from './session.js';

/** What a request can name its session by, strongest first. */
export type Rung = 'handle' | 'address' | 'hint' | 'id' | 'policy';

/** Name of the session that all clients of a principal share where the policy says so. */
const DEFAULT_SESSION = 'default';

/**
 * Name of the session that is asked, for all of a principal's requests that name none, what servers offer. Nothing else
 * is done in it, so that it holds no state.
 */
const LISTING_SESSION = '.lists';

/** What a client says of its conversation, unasked. */
export interface Hint {
  /** The kind of client: two kinds that say the same do not mean the same. */
  kind: string;
  value: string;
}

/** What the edge found in a request that tells its session. */
export interface Facts {
  principal: Principal;
  /** Id or name of a session, given by the model in a tool call. */
  handle?: Handle | undefined;
  /** Name of a session, or `@` and its alias, given by who configured the client. */
  address?: string | undefined;
  hint?: Hint | undefined;
  /** What the id led to that the client was given. */
  known?: Attached | undefined;
  /**
   * What the policy may give a request that names no session: one to stay, one for this request alone, or, where it
   * only asks what there is, one that all such requests share; without it, none of its own.
   */
  unnamed?: 'lasting' | 'temporary' | 'listing' | undefined;
}

/** The session of a request. */
export interface Correlated {
  rung: Rung;
  /** Undefined where one is to be made for this request alone. */
  session: Session | undefined;
  /** The client named none and got this one for itself. */
  own: boolean;
}

/** A session about to carry out a request. */
export interface Target {
  /** Names it among the principal's; empty for one that is made for the request. */
  key: string;
  /** A session that is made for the request is closed when `job` is done. */
  run: (job: (session: Session) => Promise<Outcome>) => Promise<Outcome>;
  /** The client's later requests are for another session. @throws {ProxyError} INVALID_REQUEST where it names one each time */
  use: (session: string) => void;
}

export interface CorrelatorOptions {
  manager: SessionManager;
  attachments: Attachments;
  finder: Finder;
  store: Store;
  router: Router;
  unidentified: SessionsConfig['unidentified'];
}

/**
 * Which session a request is for: the one place for that rule. The first rung that matches counts. A hint outranks the
 * id that the client was given: clients that pool one id over many conversations are kept apart by it, and those that
 * get a new id for every call are kept together. No rung leads past the principal.
 */
export class Correlator {
  readonly #options: CorrelatorOptions;

  constructor(options: CorrelatorOptions) {
    this.#options = options;
  }

  /**
   * The session of a request, found or made.
   * @returns undefined when nothing names one and the policy gives none
   * @throws {ProxyError} SESSION_NOT_FOUND, SESSION_NAME_INVALID, SESSION_LIMIT, SESSION_IN_USE, SESSION_REQUIRED
   */
  correlate({ principal, handle, address, hint, known, unnamed }: Facts): Correlated | undefined {
    const { manager, unidentified } = this.#options;
    const found = (rung: Rung, session: Session | undefined, own = false) => ({ rung, session, own });
    if (handle !== undefined) return found('handle', this.#byHandle(principal, handle));
    if (address !== undefined) return found('address', this.#byAddress(principal, address));
    if (hint !== undefined) return found('hint', this.#byHint(principal, hint));
    if (known) return found('id', known.session);
    switch (unidentified) {
      case 'auto':
        // Requests of a client without an id stand alone: only a session they share lets it find its browser again.
        if (unnamed === undefined) return undefined;
        return unnamed === 'lasting'
          ? found('policy', manager.create(principal), true)
          : found('policy', manager.open(principal, DEFAULT_SESSION));
      case 'new':
        if (unnamed === undefined) return undefined;
        if (unnamed === 'listing') return found('policy', manager.open(principal, LISTING_SESSION));
        return found('policy', unnamed === 'lasting' ? manager.create(principal) : undefined, true);
      case 'principal':
        return found('policy', manager.open(principal, DEFAULT_SESSION));
      case 'reject':
        throw sessionRequired('and sessions.unidentified is reject');
    }
  }

  /** The handle in a message. */
  handle(method: string, params: Fields | undefined): Handle | undefined {
    const { manager, router } = this.#options;
    if (method !== 'tools/call' || manager.own?.has(String(params?.name))) return undefined;
    return router.handle(params);
  }

  /**
   * What a request is to be carried out in.
   * @param link where the client hears of what belongs to no request
   * @throws {ProxyError} as `correlate` does; SESSION_REQUIRED also where that finds none
   */
  target(facts: Facts, client: ClientProfile, link?: Attachment): Target {
    let correlated: Correlated | undefined;
    try {
      correlated = this.correlate(facts);
    } catch (error) {
      if (!facts.handle) throw error;
      // A wrong handle is the model's mistake, and for the model to read.
      const outcome = asToolResult(asProxyError(error));
      return { key: '', use: () => {}, run: () => Promise.resolve(outcome) };
    }
    if (!correlated) throw sessionRequired('and has none of its own');
    const { rung, session } = correlated;
    return {
      key: session?.id ?? '',
      use: (id) => this.#use(facts, rung, id),
      run: (job) => {
        if (!session) return this.#options.manager.temporarily(facts.principal, job);
        this.#arrive(session, rung, client, link);
        return job(session);
      },
    };
  }

  /** Counts the request, tells once of the client, and lets it hear of the session. */
  #arrive(session: Session, rung: Rung, { clientInfo }: ClientProfile, link?: Attachment): void {
    log.session.debug({ session: session.id, rung }, 'A request.');
    if (link) session.clients.welcome(link);
    const first = session.clients.count(rung, link?.id ?? JSON.stringify(clientInfo));
    if (first) session.event('attached', { by: rung, client: clientInfo });
  }

  /** The client's later requests are for another session, as far as it does not name one itself each time. */
  #use({ principal, hint, known }: Facts, rung: Rung, id: string): void {
    const { store, attachments } = this.#options;
    if (rung === 'hint' && hint) {
      const key = keyOf(hint);
      store.hints.replace(principal.id, key, store.hints.get(principal.id, key), id);
    } else if (rung === 'id' && known) {
      attachments.move(known, id);
    } else {
      const text =
        'This client names its session with every call, or none at all: it cannot be moved to another.';
      throw new ProxyError('INVALID_REQUEST', text);
    }
  }

  /** Whoever sent it sees one answer for what is closed, unknown or another's. */
  #byHandle(principal: Principal, { argument, value }: Handle): Session {
    const mend = `Call session_create to make a session, and pass its id as the argument "${argument}".`;
    if (value === undefined)
      throw new ProxyError('SESSION_REQUIRED', `This tool works in a session that you name. ${mend}`);
    const who = { ...principal, admin: false };
    const session = typeof value === 'string' ? this.#lookUp(who, value) : undefined;
    if (session && session.state !== 'closed') return session;
    const told = typeof value === 'string' ? `"${value.slice(0, 80)}"` : 'of that kind';
    throw new ProxyError('SESSION_NOT_FOUND', `There is no session ${told} (any more). ${mend}`);
  }

  #lookUp(who: Principal, handle: string): Session | undefined {
    const { finder } = this.#options;
    try {
      return finder.lookUp(who, handle, 'agent') ?? finder.lookUp(who, handle, 'store');
    } catch (error) {
      if (asProxyError(error).code === 'SESSION_NAME_INVALID') return undefined;
      throw error;
    }
  }

  #byAddress(principal: Principal, address: string): Session {
    const { manager } = this.#options;
    if (!address.startsWith('@')) return manager.open(principal, address);
    const shared = manager.byAlias(principal, address.slice(1));
    if (shared) return shared;
    throw new ProxyError('SESSION_NOT_FOUND', `No session is shared with you as "${address.slice(0, 80)}".`);
  }

  /** Two that ask at once get the same, also in two processes: the store decides. */
  #byHint(principal: Principal, hint: Hint): Session {
    const { manager, store } = this.#options;
    const key = keyOf(hint);
    for (;;) {
      const id = store.hints.get(principal.id, key);
      const found = id === undefined ? undefined : manager.byId(id);
      if (found && found.state !== 'closed' && manager.mayUse(principal, found)) return found;
      const made = manager.create(principal);
      if (store.hints.replace(principal.id, key, id, made.id)) return made;
      void manager.close(made, 'was stopped because another took its place');
    }
  }
}

function sessionRequired(why: string): ProxyError {
  const text = `Say which session you mean: use the URL …/s/NAME or the header X-MCP-Session (the client names none, ${why}).`;
  return new ProxyError('SESSION_REQUIRED', text);
}

/** What the store knows a hint by: not what the client said, which may tell more than it needs to. */
function keyOf({ kind, value }: Hint): string {
  return `${kind}:${createHash('sha256').update(value).digest('base64url')}`;
}
