import type { Principal } from '../auth/principal.js';
import { isOwn } from './access.js';
import { ProxyError } from '../errors.js';
import { PROXY_PROFILE } from '../protocol/client.js';
import { isFields, type Fields } from '../protocol/messages.js';
import type { SnapshotRow } from '../store/types.js';
import { Exchange, type Outlet } from './exchange.js';
import type { Finder } from './finder.js';
import { MAIN_TRACK, type EventQuery } from './history.js';
import { checkName } from './ids.js';
import type { SessionManager } from './manager.js';
import { ping, type PingView } from './ping.js';
import type { ServerChange } from './servers.js';
import type { Session } from './session.js';
import { isAppKey, isUserKey, laidOver, toJson, type SaveOptions, type StateValue } from './state.js';
import { summarize, summaryOf, SUMMARY_TRACK, type Summary } from './summary.js';
import { iso, viewOf, type SessionView } from './view.js';

export interface EventView {
  seq: number;
  at: string;
  type: string;
  data: Fields;
}

export interface SnapshotView {
  name: string;
  revision: number;
  createdAt: string;
  value: unknown;
}

function snapshotView({ name, revision, value, createdAt }: SnapshotRow): SnapshotView {
  return { name, revision, createdAt: iso(createdAt), value: JSON.parse(value) as unknown };
}

/** A result of `tools/call`, as the server gave it. */
export type ToolResult = Fields;

/** JSON-RPC codes with which servers refuse a tool they do not have. */
const UNKNOWN_TOOL = new Set<unknown>([-32601, -32602]);

/** Nobody who could be asked, or would listen: calls by programs have no MCP client. */
const NOBODY: Outlet = {
  client: PROXY_PROFILE,
  connected: false,
  notify: () => {},
  ask: () => ({
    answer: Promise.resolve({
      error: { code: -32601, message: 'Nobody can be asked: the call came from a program.' },
    }),
    cancel: () => {},
  }),
};

/** What can be done with what a session holds: its servers and their tools, its state, its history. */
export class SessionContents {
  readonly #manager: SessionManager;
  readonly #finder: Finder;

  constructor(manager: SessionManager, finder: Finder) {
    this.#manager = manager;
    this.#finder = finder;
  }

  // -- servers and tools -----------------------------------------------------------------------------------------

  async bind(who: Principal, ref: string, server: string): Promise<SessionView> {
    const session = this.#finder.session(who, ref);
    session.refresh();
    await session.servers.bind(server);
    return viewOf(session);
  }

  async unbind(who: Principal, ref: string, server: string): Promise<SessionView> {
    const session = this.#finder.session(who, ref);
    await session.servers.unbind(server);
    return viewOf(session);
  }

  /** Starts the servers of a session, or one of them, and asks each whether it is there. @throws {ProxyError} NOT_FOUND */
  ping(who: Principal, ref: string, server?: string): Promise<PingView[]> {
    const session = this.#finder.session(who, ref);
    const { servers } = session;
    const asked = server === undefined ? servers.configs() : [servers.config(server)];
    session.refresh();
    return Promise.all(asked.map((config) => ping(session, config)));
  }

  async reinitialize(who: Principal, ref: string, server: string, change: ServerChange) {
    // What a server is started with is a matter of whoever runs the proxy.
    if (!who.admin)
      throw new ProxyError('FORBIDDEN', 'Only administrators change what a server is started with.');
    const session = this.#finder.session(who, ref);
    const { old, new: fresh } = await session.servers.reinitialize(server, change);
    session.event('reinitialized', { server, old: old.id, new: fresh.id });
    return { oldBindingId: old.id, newBindingId: fresh.id, configApplied: true, session: viewOf(session) };
  }

  async listTools(who: Principal, ref: string): Promise<Fields[]> {
    return this.#listTools(who, this.#finder.session(who, ref));
  }

  /** Forgets what is known of the servers' lists: the next one asks them. */
  clearCache(who: Principal, ref: string): void {
    // Lists are never kept: each asks the servers. There is nothing to forget, and nothing to start anew.
    this.#finder.session(who, ref).event('cache cleared', {});
  }

  /** Calls a tool in a session; without a reference in one that lasts for this call. */
  async callTool(
    who: Principal,
    ref: string | undefined,
    tool: string,
    args: Fields = {},
  ): Promise<ToolResult> {
    const params = { name: tool, arguments: args };
    if (ref !== undefined) return this.#callTool(who, this.#finder.session(who, ref), params);
    return this.#manager.temporarily(who, (session) => this.#callTool(who, session, params));
  }

  // -- state -----------------------------------------------------------------------------------------------------

  getState(who: Principal, ref: string): Fields {
    const session = this.#finder.session(who, ref);
    const all = session.values.all();
    if (isOwn(who, session)) return all;
    return Object.fromEntries(Object.entries(all).filter(([key]) => !isUserKey(key)));
  }

  /** @throws {ProxyError} STATE_NOT_FOUND */
  getValue(who: Principal, ref: string, key: string): StateValue {
    const found = this.#holder(who, ref, key).values.get(key);
    if (found) return found;
    throw new ProxyError('STATE_NOT_FOUND', `There is no "${key}" in the state of session "${ref}".`);
  }

  /** @param merge lays an object over what is there instead of replacing it */
  setValue(
    who: Principal,
    ref: string,
    key: string,
    value: unknown,
    options: SaveOptions & { merge?: boolean } = {},
  ): StateValue {
    if (isAppKey(key) && !who.admin)
      throw new ProxyError('FORBIDDEN', "app: keys are everybody's: only administrators set them.");
    const session = this.#holder(who, ref, key);
    const stored = options.merge ? laidOver(session.values.get(key)?.value, value) : value;
    const version = session.values.set(key, stored, options);
    session.event('state set', { key, version });
    return { value: stored, version };
  }

  deleteValue(who: Principal, ref: string, key: string, options: SaveOptions = {}): boolean {
    if (isAppKey(key) && !who.admin)
      throw new ProxyError('FORBIDDEN', "app: keys are everybody's: only administrators delete them.");
    const session = this.#holder(who, ref, key);
    const deleted = session.values.delete(key, options);
    if (deleted) session.event('state deleted', { key });
    return deleted;
  }

  /**
   * Keeps a value under a name, as a new revision; without one the session's own state.
   * @throws {ProxyError} STATE_VALUE_INVALID, STATE_TOO_LARGE, SESSION_NAME_INVALID
   */
  saveSnapshot(who: Principal, ref: string, name: string, value?: unknown): SnapshotView {
    const session = this.#finder.session(who, ref);
    const kept = value === undefined ? session.values.own() : value;
    const snapshot = session.values.saveSnapshot(checkName(name), toJson(name, kept));
    session.event('snapshot saved', { name, revision: snapshot.revision });
    return snapshotView(snapshot);
  }

  /** @returns null when there is none of that name or revision */
  loadSnapshot(who: Principal, ref: string, name: string, revision?: number): SnapshotView | null {
    const found = this.#finder.session(who, ref).values.loadSnapshot(name, revision);
    return found ? snapshotView(found) : null;
  }

  /** Revisions of one name, oldest first; without a name the latest of each. */
  listSnapshots(who: Principal, ref: string, name?: string): SnapshotView[] {
    return this.#finder.session(who, ref).values.listSnapshots(name).map(snapshotView);
  }

  /** @throws {ProxyError} STATE_NOT_FOUND */
  rollback(who: Principal, ref: string, name: string, revision?: number): Fields {
    const session = this.#finder.session(who, ref);
    const found = session.values.loadSnapshot(name, revision);
    const value = found && (JSON.parse(found.value) as unknown);
    if (!found || !isFields(value)) {
      throw new ProxyError(
        'STATE_NOT_FOUND',
        `Session "${ref}" has no snapshot "${name}" of its state${revision === undefined ? '' : ` with revision ${revision}`}.`,
      );
    }
    session.values.replaceOwn(value);
    session.event('rolled back', { name, revision: found.revision });
    return value;
  }

  // -- events ----------------------------------------------------------------------------------------------------

  events(who: Principal, ref: string, query: EventQuery = {}): EventView[] {
    return this.#finder
      .session(who, ref, true)
      .history.read(query)
      .map((event) => ({ ...event, at: iso(event.at) }));
  }

  /** Events on a track of the user's own, not counted among the session's. */
  appendEvent(who: Principal, ref: string, track: string, type: string, data: Fields): void {
    if (track === MAIN_TRACK || track === SUMMARY_TRACK)
      throw new ProxyError('INVALID_PARAMS', `The track "${track}" is the proxy's own. Choose another name.`);
    this.#finder.session(who, ref).note(type, data, checkName(track));
  }

  follow(who: Principal, ref: string, onevent: (event: EventView) => void): () => void {
    return this.#finder.session(who, ref).history.follow((event) => onevent({ ...event, at: iso(event.at) }));
  }

  /** What was last written of the session's history; null when nothing was. */
  summary(who: Principal, ref: string): Summary | null {
    return summaryOf(this.#finder.session(who, ref, true)) ?? null;
  }

  /**
   * Keeps a text that sums the history up; events and earlier summaries stay.
   * @param upTo number of the last event it covers, by default the last there is
   * @throws {ProxyError} INVALID_PARAMS, STATE_TOO_LARGE, FORBIDDEN by a hook
   */
  async summarize(who: Principal, ref: string, text: string, upTo?: number): Promise<Summary> {
    const session = this.#finder.session(who, ref);
    await this.#manager.store(summarize(session, text, upTo));
    const kept = summaryOf(session);
    if (kept) return kept;
    throw new ProxyError('FORBIDDEN', 'A hook of the program that runs the proxy keeps no summaries.');
  }

  // -- within --------------------------------------------------------------------------------------------------

  /** The session whose state the key is of. @throws {ProxyError} FORBIDDEN for the owner's keys to guests */
  #holder(who: Principal, ref: string, key: string): Session {
    const session = this.#finder.session(who, ref);
    if (!isUserKey(key) || isOwn(who, session)) return session;
    throw new ProxyError(
      'FORBIDDEN',
      'user: keys are those of the owner, who shares this session with you. Use keys without a prefix.',
    );
  }

  async #listTools(who: Principal, session: Session): Promise<Fields[]> {
    const { tools } = await this.#request(who, session, 'tools/list', {});
    return Array.isArray(tools) ? (tools as Fields[]) : [];
  }

  async #callTool(who: Principal, session: Session, params: Fields & { name: string }): Promise<ToolResult> {
    try {
      return await this.#request(who, session, 'tools/call', params);
    } catch (error) {
      // A lone server is asked for tools that nobody knows, and some refuse them as they refuse wrong arguments.
      if (!(error instanceof ProxyError) || !UNKNOWN_TOOL.has(error.details.rpcCode)) throw error;
      const tools = await this.#listTools(who, session);
      if (tools.some(({ name }) => name === params.name)) throw error;
      throw new ProxyError('TOOL_NOT_FOUND', error.message, { cause: error });
    }
  }

  /** @throws {ProxyError} as the outcome's error says */
  async #request(who: Principal, session: Session, method: string, params: Fields): Promise<Fields> {
    const exchange = new Exchange(method, params, NOBODY, who.id);
    const outcome = await session.request(exchange);
    await this.#manager.store(exchange.record);
    if ('result' in outcome) return outcome.result;
    const { code, message, data } = outcome.error;
    const ours = isFields(data) && typeof data.code === 'string' ? data.code : undefined;
    if (ours === 'TOOL_NOT_FOUND' || ours === 'SESSION_CLOSED' || ours === 'NOT_FOUND')
      throw new ProxyError(ours, message);
    throw new ProxyError('SERVER_UNAVAILABLE', message, { details: { rpcCode: code, data } });
  }
}
