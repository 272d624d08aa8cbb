import { AsyncLocalStorage } from 'node:async_hooks';
import type { NewSession, SessionView, ToolResult } from '../admin/door.js';
import { formatDuration } from '../config/units.js';
import { ProxyError } from '../errors.js';
import type { Fields } from '../protocol/messages.js';
import type { SessionState } from '../store/types.js';
import { callAll, type BatchOptions, type Call, type CallOptions } from './batch.js';
import type { Context, Link, Territory } from './link.js';
import { innerName, outerName } from './names.js';
import { outcomesOf, serversOwn, type Outcome } from './outcome.js';
import { SessionHandle } from './session.js';
import { within } from './wait.js';

/** Sessions on one page of the proxy's lists, where all are wanted. */
const PAGE = 500;
const DEFAULT_PAGE = 20;

/** What a new session is to be like; settings that are left out are the config's. */
export type SessionOptions = Omit<NewSession, 'name' | 'scope'>;

export interface SessionQuery {
  /** All but closed ones by default. */
  states?: SessionState[];
  /** Sessions on a page; 20 by default. */
  limit?: number;
  /** `nextCursor` of the page before. */
  cursor?: string;
}

export interface SpaceCallOptions extends CallOptions {
  /** The session to call in, by handle, name or id, whatever the scope. */
  session?: SessionHandle | string;
}

/**
 * A space of sessions: an agent's own, or the store that all principals share. Names are its own; two agents may use one
 * name and never meet.
 *
 * A call that names no session goes to the innermost `withSession` around it, else, by `sessionAuto` (which holds from the
 * start), to the session `auto`, or by `sessionManual` to a temporary session of its own.
 */
export class Space {
  readonly #context: Context;
  readonly #scopes = new AsyncLocalStorage<SessionHandle>();
  /** Runs of `withSession` by session: the last to end closes what one of them made. */
  readonly #runs = new Map<string, { count: number; made: boolean }>();
  #auto: (SessionOptions & { name: string }) | undefined = { name: 'auto' };

  /** @internal */
  constructor(territory: Territory, link: Link) {
    this.#context = { ...territory, link, making: new Map() };
  }

  // -- making and finding ----------------------------------------------------------------------------------------

  /**
   * Runs `run` with a session, made or taken up. It is closed at the end, also by a throw, if it was made here; the calls
   * of the space within go to it.
   *
   * @example
   * await agent.withSession('checkout', async (session) => {
   *   await agent.useTool('browser_navigate', { url: 'https://example.com' });
   *   await session.useTool('browser_snapshot');
   * });
   *
   * @param name undefined for a session without one
   * @param options for the session, where it is made
   */
  async withSession<T>(
    name: string | undefined,
    run: (session: SessionHandle) => T | Promise<T>,
    options: SessionOptions = {},
  ): Promise<T> {
    const opened =
      name === undefined ? await this.#create(undefined, options) : await this.#open(name, options);
    const session = new SessionHandle(this.#context, opened, false);
    const { id } = session;
    const runs = this.#runs.get(id) ?? { count: 0, made: false };
    this.#runs.set(id, { count: runs.count + 1, made: runs.made || !opened.existed });
    let result: T;
    try {
      result = await this.#scopes.run(session, async () => run(session));
    } catch (error) {
      // What went wrong within is what the caller must hear of.
      await this.#leave(session).catch(() => {});
      throw error;
    }
    await this.#leave(session);
    return result;
  }

  /**
   * A new session; it stays until it is closed. Without a name it has its id alone.
   *
   * @example
   * await using session = await agent.createSession('research', { ttlSeconds: 7200, bind: true });
   *
   * @throws {ProxyError} SESSION_EXISTS, SESSION_NAME_INVALID, SESSION_LIMIT, NOT_FOUND for a server that is not configured
   */
  async createSession(name?: string, options: SessionOptions = {}): Promise<SessionHandle> {
    return new SessionHandle(this.#context, await this.#create(name, options), true);
  }

  /** The session of that name, made when there is none; however many ask at once, all get the same. */
  async getOrCreate(name: string, options: SessionOptions = {}): Promise<SessionHandle> {
    const opened = await this.#open(name, options);
    return new SessionHandle(this.#context, opened, !opened.existed);
  }

  /** An open session by name, id, or `@` and the alias it was shared under; null when there is none. */
  async findSession(ref: string): Promise<SessionHandle | null> {
    const { door, scope, prefix } = this.#context;
    const named = !ref.startsWith('@') && !ref.startsWith('ses_');
    const view = await door.find(named ? `${prefix}${ref}` : ref, scope);
    if (!view || (!ref.startsWith('@') && !this.#owns(view))) return null;
    return new SessionHandle(this.#context, view, false);
  }

  /** Sessions of the space, the last updated first. Looking moves no deadline. */
  async listSessions({ states, limit = DEFAULT_PAGE, cursor }: SessionQuery = {}): Promise<{
    sessions: SessionView[];
    nextCursor?: string;
  }> {
    const { door, prefix } = this.#context;
    const sessions: SessionView[] = [];
    let next = cursor;
    do {
      const page = await door.list({
        limit: limit - sessions.length,
        ...(states ? { states } : {}),
        ...(next === undefined ? {} : { cursor: next }),
      });
      const own = page.sessions.filter((view) => this.#owns(view));
      sessions.push(...own.map((view) => ({ ...view, name: innerName(prefix, view.name) })));
      next = page.nextCursor;
    } while (next !== undefined && sessions.length < limit);
    return { sessions, ...(next === undefined ? {} : { nextCursor: next }) };
  }

  /** Several new sessions; what became of each, in their order. */
  async createMany(
    items: readonly (SessionOptions & { name?: string })[],
  ): Promise<Outcome<SessionHandle>[]> {
    if (items.length === 0) return [];
    const made = await this.#context.door.createMany(
      items.map(({ name, ...rest }) => this.#order(name, rest)),
    );
    return outcomesOf(made, (view) => new SessionHandle(this.#context, view, true));
  }

  /** Closes all sessions of the space. @returns how many */
  async closeAll(): Promise<number> {
    const { door } = this.#context;
    if (this.#whole) return door.closeAll();
    const refs = await this.#all();
    for (let at = 0; at < refs.length; at += PAGE) await door.closeMany(refs.slice(at, at + PAGE));
    return refs.length;
  }

  /** Refreshes the deadlines of all sessions of the space. @returns how many */
  async refreshAll(): Promise<number> {
    const { door } = this.#context;
    if (this.#whole) return door.refreshAll();
    const refs = await this.#all();
    for (const ref of refs) await door.refresh(ref);
    return refs.length;
  }

  /** How many sessions the door's principal has in each state (at a URL: that of the token; all for administrators), how many run, and how many requests are under way. */
  stats(): Promise<Fields> {
    return this.#context.door.stats();
  }

  // -- calling ---------------------------------------------------------------------------------------------------

  /**
   * From now on calls outside a scope go to the space's session `auto`, or the one that is named here.
   * @param options for the session where it is made; idle time and what it leads to also where it is there
   */
  async sessionAuto({ name = 'auto', ...options }: SessionOptions & { name?: string } = {}): Promise<void> {
    this.#auto = { name, ...options };
    const { ttlSeconds, onTimeout } = options;
    if (ttlSeconds === undefined && onTimeout === undefined) return;
    const session = await this.findSession(name);
    await session?.update({
      ...(ttlSeconds === undefined ? {} : { ttlSeconds }),
      ...(onTimeout ? { onTimeout } : {}),
    });
  }

  /** From now on each call outside a scope has a temporary session of its own. */
  sessionManual(): void {
    this.#auto = undefined;
  }

  /**
   * Calls a tool: in the session that `options` names, else in the scope's, else as `sessionAuto` or `sessionManual` say.
   * What the server answers is the result, also when it says `isError`.
   *
   * @example
   * const result = await proxy.forAgent('alice').useTool('increment');
   *
   * @throws {ProxyError} TOOL_NOT_FOUND, CALL_TIMEOUT, OUTCOME_UNKNOWN, SERVER_UNAVAILABLE, SESSION_NOT_FOUND
   */
  async useTool(
    tool: string,
    args: Fields = {},
    { session: named, ...options }: SpaceCallOptions = {},
  ): Promise<ToolResult> {
    const session = await this.#sessionFor(named);
    if (session) return session.useTool(tool, args, options);
    const { door, link } = this.#context;
    const late = () =>
      new ProxyError(
        'CALL_TIMEOUT',
        `${tool} did not answer within ${formatDuration(options.timeout ?? 0)}.`,
      );
    return serversOwn(await within(link.clock, options.timeout, door.callTool(undefined, tool, args), late));
  }

  /** Calls several tools where `useTool` would, as `SessionHandle.callMany` does. */
  async callMany(
    calls: readonly Call[],
    { session: named, ...options }: BatchOptions & Pick<SpaceCallOptions, 'session'> = {},
  ): Promise<Outcome<ToolResult>[]> {
    const session = await this.#sessionFor(named);
    return callAll(this.#context.door, session?.id, calls, options);
  }

  // -- within ----------------------------------------------------------------------------------------------------

  /** Explicit, then scope, then auto; undefined for a temporary one. */
  async #sessionFor(named: SessionHandle | string | undefined): Promise<SessionHandle | undefined> {
    if (named instanceof SessionHandle) return named;
    if (named !== undefined) {
      const found = await this.findSession(named);
      if (found) return found;
      throw new ProxyError('SESSION_NOT_FOUND', `There is no open session "${named.slice(0, 80)}" here.`);
    }
    const scope = this.#scopes.getStore();
    if (scope || !this.#auto) return scope;
    const { name, ...options } = this.#auto;
    return this.getOrCreate(name, options);
  }

  async #leave(session: SessionHandle): Promise<void> {
    const { id } = session;
    const runs = this.#runs.get(id);
    if (!runs) return;
    if (runs.count > 1) return void this.#runs.set(id, { ...runs, count: runs.count - 1 });
    this.#runs.delete(id);
    if (runs.made) await session.close();
  }

  async #create(name: string | undefined, options: SessionOptions) {
    return { ...(await this.#context.door.create(this.#order(name, options))), existed: false };
  }

  async #open(name: string, options: SessionOptions) {
    const { door, scope, prefix } = this.#context;
    return door.getOrCreate({ ...options, scope, name: outerName(prefix, name) ?? name });
  }

  #order(name: string | undefined, options: SessionOptions): NewSession {
    const { scope, prefix } = this.#context;
    const called = outerName(prefix, name);
    return { ...options, scope, ...(called === undefined ? {} : { name: called }) };
  }

  /** Whether it is all that the door's principal owns. */
  get #whole(): boolean {
    return this.#context.scope === 'agent' && this.#context.prefix === '';
  }

  #owns({ scope, name }: SessionView): boolean {
    return scope === this.#context.scope && (name ?? '').startsWith(this.#context.prefix);
  }

  async #all(): Promise<string[]> {
    const ids: string[] = [];
    let cursor: string | undefined;
    do {
      const page = await this.listSessions({ limit: PAGE, ...(cursor === undefined ? {} : { cursor }) });
      ids.push(...page.sessions.map(({ id }) => id));
      cursor = page.nextCursor;
    } while (cursor !== undefined);
    return ids;
  }
}
