import type { Principal } from '../auth/principal.js';
import { checkOwn, EVERYBODY, isOwn } from './access.js';
import { ProxyError, asProxyError, type ErrorObject } from '../errors.js';
import type { Fields } from '../protocol/messages.js';
import type { SessionState } from '../store/types.js';
import type { Finder } from './finder.js';
import type { Hooks } from './hooks.js';
import { checkName } from './ids.js';
import type { CreateOptions, SessionManager } from './manager.js';
import type { Session } from './session.js';
import { isAppKey, laidOver } from './state.js';
import { cursorOf, parseCursor, viewOf, viewOfRow, type SessionView } from './view.js';

const DEFAULT_PAGE = 20;
const LARGEST_PAGE = 500;

/** Beyond it a deadline would be past the last date there is a notation for. */
const LONGEST_SECONDS = 315_360_000; // ten years

/** Why a session was stopped by hand; completes "the server …". */
const ON_REQUEST = 'was stopped on request';

export interface NewSession extends Pick<CreateOptions, 'name' | 'servers' | 'onTimeout'> {
  scope?: SessionView['scope'];
  /** Idle time in seconds, where it is not the configured one. */
  ttlSeconds?: number;
  /** State to begin with; laid over the configured defaults. */
  state?: Fields;
  /** Start its servers now; `atomic`: all of them, or there is no session and no server. */
  bind?: boolean | 'atomic';
}

export interface ListQuery {
  states?: SessionState[];
  /** Everybody's sessions, or those of this principal; for administrators. */
  principal?: string;
  all?: boolean;
  limit?: number;
  cursor?: string;
}

/** What became of one item of a batch. */
export type ItemResult<T> = { ok: true; value: T } | { ok: false; error: ErrorObject };

/**
 * What can be done with sessions, once for all who do it: models, people, programs. Every operation is on behalf of a
 * principal; what is not theirs is to them as if it were not there.
 *
 * A session is named by a reference: its id, its name, or `@` and an alias it was shared under.
 */
export class SessionOperations {
  readonly #manager: SessionManager;
  readonly #finder: Finder;
  readonly #hooks: Hooks;

  constructor(manager: SessionManager, finder: Finder, hooks: Hooks) {
    this.#manager = manager;
    this.#finder = finder;
    this.#hooks = hooks;
  }

  // -- making and finding ----------------------------------------------------------------------------------------

  /** @throws {ProxyError} SESSION_EXISTS, SESSION_NAME_INVALID, SESSION_LIMIT, NOT_FOUND, SERVER_UNAVAILABLE */
  async create(who: Principal, options: NewSession = {}): Promise<SessionView> {
    const { name, scope = 'agent' } = options;
    if (name !== undefined && this.#finder.byName(who, name, scope)) {
      throw new ProxyError(
        'SESSION_EXISTS',
        `There is a session "${name}" already. Use it, or choose another name.`,
      );
    }
    return viewOf(await this.#make(who, options));
  }

  /** The session of that name, made when there is none. */
  async getOrCreate(
    who: Principal,
    options: NewSession & { name: string },
  ): Promise<SessionView & { existed: boolean }> {
    const { name, scope = 'agent' } = options;
    const found = this.#finder.byName(who, name, scope);
    if (found) return { ...viewOf(found), existed: true };
    try {
      return { ...viewOf(await this.#make(who, options)), existed: false };
    } catch (error) {
      // Another process on the same store was quicker.
      const first = this.#finder.byName(who, name, scope);
      if (first) return { ...viewOf(first), existed: true };
      throw error;
    }
  }

  /** @returns null for what is not there, is closed, or is somebody else's */
  find(who: Principal, ref: string, scope: SessionView['scope'] = 'agent'): SessionView | null {
    const session = this.#finder.lookUp(who, ref, scope);
    return session && session.state !== 'closed' ? this.#hooks.view(viewOf(session)) : null;
  }

  /** @throws {ProxyError} SESSION_NOT_FOUND */
  info(who: Principal, ref: string): SessionView {
    return this.#hooks.view(viewOf(this.#finder.session(who, ref, true)));
  }

  /** Looking refreshes no deadline. */
  list(
    who: Principal,
    { states, principal, all, limit, cursor }: ListQuery = {},
  ): { sessions: SessionView[]; nextCursor?: string } {
    if ((all || principal !== undefined) && !who.admin) {
      throw new ProxyError('FORBIDDEN', 'Only administrators see the sessions of others.');
    }
    const after = cursor === undefined ? undefined : parseCursor(cursor);
    if (cursor !== undefined && !after) {
      throw new ProxyError('INVALID_PARAMS', 'The cursor is none that a list gave. Start again without one.');
    }
    const size = Math.max(1, Math.min(limit ?? DEFAULT_PAGE, LARGEST_PAGE));
    const rows = this.#manager.list({
      ...(all ? {} : { principals: principal === undefined ? [who.id, EVERYBODY] : [principal] }),
      states: states ?? ['idle', 'active', 'paused', 'error'],
      limit: size,
      ...(after ? { after } : {}),
    });
    const sessions = rows.map((row) =>
      this.#manager.isElsewhere(row) ? viewOfRow(row) : viewOf(this.#manager.load(row)),
    );
    const last = rows.at(-1);
    return { sessions, ...(last && rows.length === size ? { nextCursor: cursorOf(last) } : {}) };
  }

  /** How many sessions there are in each state, and what runs: of the principal, or of all for administrators. */
  stats(who: Principal) {
    return this.#manager.stats(who.admin ? undefined : [who.id, EVERYBODY]);
  }

  // -- life ------------------------------------------------------------------------------------------------------

  /** Moves the deadline by exactly so many seconds. */
  extend(who: Principal, ref: string, seconds: number): SessionView {
    checkSeconds('seconds', seconds);
    return this.#change(who, ref, (session) => session.extend(seconds * 1000));
  }

  /** As a request would: the deadline is `ttl` from now. */
  refresh(who: Principal, ref: string): SessionView {
    return this.#change(who, ref, (session) => session.refresh());
  }

  refreshAll(who: Principal): number {
    const own = this.#manager
      .loaded()
      .filter(({ principal, state }) => principal === who.id && state !== 'closed');
    for (const session of own) session.refresh();
    return own.length;
  }

  /** @throws {ProxyError} SESSION_BUSY unless forced */
  async pause(who: Principal, ref: string, force = false): Promise<SessionView> {
    const session = this.#finder.session(who, ref);
    await session.pause(ON_REQUEST, force);
    return viewOf(session);
  }

  /** Starts the session's servers. */
  async resume(who: Principal, ref: string): Promise<SessionView> {
    const session = this.#used(who, ref);
    await session.servers.start();
    return viewOf(session);
  }

  /** New processes for all its servers; id and state stay. */
  async restart(who: Principal, ref: string): Promise<SessionView> {
    const session = this.#used(who, ref);
    await session.servers.restart('was restarted on request');
    session.event('restarted', {});
    return viewOf(session);
  }

  /** One more attempt at what could not be started. */
  async recover(who: Principal, ref: string): Promise<SessionView> {
    const session = this.#used(who, ref);
    await session.servers.recover();
    return viewOf(session);
  }

  /** PATCH: what is left out stays, null goes back to the configured default. */
  update(
    who: Principal,
    ref: string,
    change: { name?: string | null; ttlSeconds?: number | null; onTimeout?: 'pause' | 'close' | null },
  ): SessionView {
    const session = this.#finder.session(who, ref);
    checkOwn(who, session, 'changed');
    if (session.inFlight > 0) {
      throw new ProxyError(
        'SESSION_BUSY',
        `Session "${ref}" has requests under way. Change it when they are done.`,
      );
    }
    checkSeconds('ttlSeconds', change.ttlSeconds);
    if (change.name !== undefined) session.rename(change.name === null ? null : checkName(change.name));
    session.configure({
      ...(change.ttlSeconds === undefined
        ? {}
        : { ttl: change.ttlSeconds === null ? undefined : change.ttlSeconds * 1000 }),
      ...(change.onTimeout === undefined ? {} : { onTimeout: change.onTimeout ?? undefined }),
    });
    return viewOf(session);
  }

  /**
   * A new session with the state and settings of this one, and none of its connections. Its owner gets a copy of what
   * was saved of its servers too; a guest does not take the owner's logins away.
   */
  async fork(who: Principal, ref: string, name?: string): Promise<SessionView> {
    const source = this.#finder.session(who, ref);
    const { servers, ttl, onTimeout } = source.settings;
    const fork = await this.#make(who, {
      ...(name === undefined ? {} : { name }),
      ...(servers ? { servers } : {}),
      ...(ttl === undefined ? {} : { ttlSeconds: ttl / 1000 }),
      ...(onTimeout ? { onTimeout } : {}),
      ...(source.principal === EVERYBODY ? { scope: 'store' as const } : {}),
    });
    fork.values.replaceOwn(source.values.own());
    if (isOwn(who, source)) await this.#carry(source, fork);
    fork.event('forked', { from: source.id });
    return viewOf(fork);
  }

  /** Closes for good. Closing what is closed, or not there, is no error. @returns whether there was one */
  async close(who: Principal, ref: string, { force = false, purge = false } = {}): Promise<boolean> {
    const session = this.#finder.lookUp(who, ref, 'agent') ?? this.#finder.lookUp(who, ref, 'store');
    if (!session) return false;
    checkOwn(who, session, 'closed');
    const open = session.state !== 'closed';
    await this.#manager.close(session, ON_REQUEST, force);
    if (purge) await this.#manager.purge(session.id);
    return open;
  }

  /** Ends what is due, deletes what is old. @throws {ProxyError} FORBIDDEN for all but administrators */
  async collect(who: Principal): Promise<{ paused: number; deleted: number }> {
    if (!who.admin) throw new ProxyError('FORBIDDEN', 'Only administrators clear up.');
    return this.#manager.sweep();
  }

  createMany(who: Principal, items: NewSession[]): Promise<ItemResult<SessionView>[]> {
    return each(items, (item) => this.create(who, item));
  }

  closeMany(who: Principal, refs: string[]): Promise<ItemResult<boolean>[]> {
    return each(refs, (ref) => this.close(who, ref));
  }

  /** Closes all sessions of the principal. */
  async closeAll(who: Principal): Promise<number> {
    let closed = 0;
    for (let more = true; more;) {
      const own = this.#manager.list({
        principals: [who.id],
        states: ['idle', 'active', 'paused', 'error'],
        limit: LARGEST_PAGE,
      });
      const ends = await this.closeMany(
        who,
        own.map(({ id }) => id),
      );
      await this.#manager.store(() => {}); // the next list must not find them again
      const ended = ends.filter((end) => end.ok && end.value).length;
      closed += ended;
      more = own.length === LARGEST_PAGE && ended > 0;
    }
    return closed;
  }

  /** Lets others use the session under an alias: principals by id, or `*` for everybody. */
  share(who: Principal, ref: string, alias: string, principals: string[]): SessionView {
    const session = this.#finder.session(who, ref);
    checkOwn(who, session, 'shared');
    this.#manager.share(session, checkName(alias), principals);
    session.event('shared', { alias, with: principals });
    return viewOf(session);
  }

  // -- within ----------------------------------------------------------------------------------------------------

  async #make(
    who: Principal,
    { scope, ttlSeconds, state = {}, bind = false, ...options }: NewSession,
  ): Promise<Session> {
    checkSeconds('ttlSeconds', ttlSeconds);
    if (!who.admin && Object.keys(state).some(isAppKey))
      throw new ProxyError('FORBIDDEN', "app: keys are everybody's: only administrators set them.");
    const owner = scope === 'store' ? { id: EVERYBODY, admin: false } : who;
    const session = this.#manager.create(owner, {
      ...options,
      ...(ttlSeconds === undefined ? {} : { ttl: ttlSeconds * 1000 }),
    });
    try {
      for (const [key, value] of Object.entries(state))
        session.values.set(key, laidOver(session.values.get(key)?.value, value));
      if (bind === 'atomic') await session.servers.startAll();
    } catch (error) {
      await this.#manager.close(session, ON_REQUEST);
      await this.#manager.purge(session.id);
      throw error;
    }
    if (bind === true) await session.servers.start();
    return session;
  }

  async #carry(source: Session, fork: Session): Promise<void> {
    try {
      await this.#manager.inherit(source, fork);
    } catch (error) {
      await this.#manager.close(fork, ON_REQUEST);
      await this.#manager.purge(fork.id);
      throw error;
    }
  }

  /** A session whose servers are to run: as after a request, or it would be due at once. */
  #used(who: Principal, ref: string): Session {
    const session = this.#finder.session(who, ref);
    session.refresh();
    return session;
  }

  #change(who: Principal, ref: string, change: (session: Session) => void): SessionView {
    const session = this.#finder.session(who, ref);
    change(session);
    return viewOf(session);
  }
}

/** @throws {ProxyError} INVALID_PARAMS */
function checkSeconds(field: string, seconds: number | null | undefined): void {
  if (seconds === undefined || seconds === null || (seconds > 0 && seconds <= LONGEST_SECONDS)) return;
  throw new ProxyError(
    'INVALID_PARAMS',
    `${field} must be a number above 0, ${LONGEST_SECONDS} at most, not ${seconds}.`,
  );
}

async function each<Item, T>(items: Item[], run: (item: Item) => Promise<T>): Promise<ItemResult<T>[]> {
  return Promise.all(
    items.map(async (item) => {
      try {
        return { ok: true as const, value: await run(item) };
      } catch (error) {
        return { ok: false as const, error: asProxyError(error).toJsonRpc() };
      }
    }),
  );
}
