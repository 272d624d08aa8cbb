import type { Principal } from '../auth/principal.js';
import { asProxyError } from '../errors.js';
import type { Fields } from '../protocol/messages.js';
import type { EventView, SessionContents, ToolResult } from '../session/contents.js';
import type { EventQuery } from '../session/history.js';
import type { ItemResult, ListQuery, NewSession, SessionOperations } from '../session/operations.js';
import type { PingView } from '../session/ping.js';
import type { BindingInfo, ServerChange } from '../session/servers.js';
import type { SaveOptions, StateValue } from '../session/state.js';
import type { Summary } from '../session/summary.js';
import type { SessionView } from '../session/view.js';
import { harmless } from './tail.js';

export type {
  BindingInfo,
  EventQuery,
  EventView,
  ItemResult,
  ListQuery,
  NewSession,
  PingView,
  SaveOptions,
  ServerChange,
  SessionView,
  StateValue,
  Summary,
  ToolResult,
};

export interface SessionPage {
  sessions: SessionView[];
  /** Where the next page begins; absent on the last. */
  nextCursor?: string;
}

export interface SessionChange {
  name?: string | null;
  ttlSeconds?: number | null;
  onTimeout?: 'pause' | 'close' | null;
}

export interface Reinitialized {
  oldBindingId: string;
  newBindingId: string;
  configApplied: boolean;
  session: SessionView;
}

export interface Snapshot {
  name: string;
  revision: number;
  createdAt: string;
  value: unknown;
}

/** One of the calls of a batch. */
export interface ToolCall {
  tool: string;
  arguments?: Fields;
}

export interface BatchOptions {
  /** All at once instead of one after the other. */
  parallel?: boolean;
  /** Makes no more calls after one that failed, or whose result says so; true by default, of no use to parallel ones. */
  stopOnError?: boolean;
}

/** A configured server, as programs may know it: nothing of its command line, environment or headers. */
export interface ServerView {
  name: string;
  kind: 'local' | 'remote';
  scope: 'session' | 'principal' | 'shared' | 'call';
}

/**
 * Everything that can be done with sessions, for one principal. The same whether the proxy is this process or another:
 * the HTTP API answers with it, the HTTP client implements it, the command line and the TypeScript API use it.
 *
 * Failures are ProxyErrors with the same codes on both sides.
 */
export interface Door extends AsyncDisposable {
  create(options?: NewSession): Promise<SessionView>;
  getOrCreate(options: NewSession & { name: string }): Promise<SessionView & { existed: boolean }>;
  find(ref: string, scope?: SessionView['scope']): Promise<SessionView | null>;
  info(ref: string): Promise<SessionView>;
  list(query?: ListQuery): Promise<SessionPage>;
  /** Counts of the principal's sessions; of everybody's for administrators. */
  stats(): Promise<Fields>;
  extend(ref: string, seconds: number): Promise<SessionView>;
  refresh(ref: string): Promise<SessionView>;
  refreshAll(): Promise<number>;
  pause(ref: string, force?: boolean): Promise<SessionView>;
  resume(ref: string): Promise<SessionView>;
  restart(ref: string): Promise<SessionView>;
  recover(ref: string): Promise<SessionView>;
  update(ref: string, change: SessionChange): Promise<SessionView>;
  fork(ref: string, name?: string): Promise<SessionView>;
  close(ref: string, options?: { force?: boolean; purge?: boolean }): Promise<boolean>;
  closeAll(): Promise<number>;
  /** For administrators. */
  collect(): Promise<{ paused: number; deleted: number }>;
  createMany(items: NewSession[]): Promise<ItemResult<SessionView>[]>;
  closeMany(refs: string[]): Promise<ItemResult<boolean>[]>;
  share(ref: string, alias: string, principals: string[]): Promise<SessionView>;
  /** Pauses all sessions of a principal, also under requests; for administrators. @returns how many */
  disconnect(principal: string): Promise<number>;
  servers(): Promise<ServerView[]>;
  bind(ref: string, server: string): Promise<SessionView>;
  unbind(ref: string, server: string): Promise<SessionView>;
  /** Starts the servers, or one of them, and asks each whether it is there. */
  ping(ref: string, server?: string): Promise<PingView[]>;
  reinitialize(ref: string, server: string, change: ServerChange): Promise<Reinitialized>;
  listTools(ref: string): Promise<Fields[]>;
  clearCache(ref: string): Promise<void>;
  /** @param ref undefined for a session that lasts for this call */
  callTool(ref: string | undefined, tool: string, args?: Fields): Promise<ToolResult>;
  /** @returns what became of each call that was made, in their order */
  callMany(ref: string, calls: ToolCall[], options?: BatchOptions): Promise<ItemResult<ToolResult>[]>;
  getState(ref: string): Promise<Fields>;
  getValue(ref: string, key: string): Promise<StateValue>;
  setValue(
    ref: string,
    key: string,
    value: unknown,
    options?: SaveOptions & { merge?: boolean },
  ): Promise<StateValue>;
  deleteValue(ref: string, key: string, options?: SaveOptions): Promise<boolean>;
  saveSnapshot(ref: string, name: string, value?: unknown): Promise<Snapshot>;
  loadSnapshot(ref: string, name: string, revision?: number): Promise<Snapshot | null>;
  listSnapshots(ref: string, name?: string): Promise<Snapshot[]>;
  /** Makes the state what it was in a snapshot. */
  rollback(ref: string, name: string, revision?: number): Promise<Fields>;
  events(ref: string, query?: EventQuery): Promise<EventView[]>;
  appendEvent(ref: string, track: string, type: string, data: Fields): Promise<void>;
  /** What was last written to sum the history up; null when nothing was. */
  summary(ref: string): Promise<Summary | null>;
  /** @param upTo number of the last event it covers, by default the last there is; originals stay */
  summarize(ref: string, text: string, upTo?: number): Promise<Summary>;
  /** Calls `onevent` for each event from now on, until the returned function is called. */
  follow(ref: string, onevent: (event: EventView) => void): Promise<() => void>;
}

/**
 * The door to sessions of this process.
 * @param stored resolves when everything that was done so far is on disk
 */
export function localDoor(
  sessions: SessionOperations,
  contents: SessionContents,
  servers: readonly ServerView[],
  who: Principal,
  stored: () => Promise<void>,
): Door {
  // A function that fails at once fails as the promise does elsewhere.
  const soon = <T>(run: () => T | Promise<T>): Promise<T> => Promise.resolve().then(run);
  // What was answered survives a crash, and whoever asks next finds it done.
  const done = <T>(run: () => T | Promise<T>): Promise<T> => soon(run).finally(stored);
  return {
    create: (options) => done(() => sessions.create(who, options)),
    getOrCreate: (options) => done(() => sessions.getOrCreate(who, options)),
    find: (ref, scope) => soon(() => sessions.find(who, ref, scope)),
    info: (ref) => soon(() => sessions.info(who, ref)),
    list: (query) => soon(() => sessions.list(who, query)),
    stats: () => soon(() => ({ ...sessions.stats(who) })),
    extend: (ref, seconds) => done(() => sessions.extend(who, ref, seconds)),
    refresh: (ref) => done(() => sessions.refresh(who, ref)),
    refreshAll: () => done(() => sessions.refreshAll(who)),
    pause: (ref, force) => done(() => sessions.pause(who, ref, force)),
    resume: (ref) => done(() => sessions.resume(who, ref)),
    restart: (ref) => done(() => sessions.restart(who, ref)),
    recover: (ref) => done(() => sessions.recover(who, ref)),
    update: (ref, change) => done(() => sessions.update(who, ref, change)),
    fork: (ref, name) => done(() => sessions.fork(who, ref, name)),
    close: (ref, options) => done(() => sessions.close(who, ref, options)),
    closeAll: () => done(() => sessions.closeAll(who)),
    collect: () => done(() => sessions.collect(who)),
    createMany: (items) => done(() => sessions.createMany(who, items)),
    closeMany: (refs) => done(() => sessions.closeMany(who, refs)),
    share: (ref, alias, principals) => done(() => sessions.share(who, ref, alias, principals)),
    disconnect: (principal) => done(() => disconnect(sessions, who, principal)),
    servers: () => soon(() => [...servers]),
    bind: (ref, server) => done(() => contents.bind(who, ref, server)),
    unbind: (ref, server) => done(() => contents.unbind(who, ref, server)),
    ping: (ref, server) => done(() => contents.ping(who, ref, server)),
    reinitialize: (ref, server, change) => done(() => contents.reinitialize(who, ref, server, change)),
    listTools: (ref) => soon(() => contents.listTools(who, ref)),
    clearCache: (ref) => done(() => contents.clearCache(who, ref)),
    callTool: (ref, tool, args) => done(() => contents.callTool(who, ref, tool, args)),
    callMany: (ref, calls, options) =>
      done(() => {
        const { id } = sessions.info(who, ref);
        return callEach(calls, (call) => contents.callTool(who, id, call.tool, call.arguments), options);
      }),
    getState: (ref) => soon(() => contents.getState(who, ref)),
    getValue: (ref, key) => soon(() => contents.getValue(who, ref, key)),
    setValue: (ref, key, value, options) => done(() => contents.setValue(who, ref, key, value, options)),
    deleteValue: (ref, key, options) => done(() => contents.deleteValue(who, ref, key, options)),
    saveSnapshot: (ref, name, value) => done(() => contents.saveSnapshot(who, ref, name, value)),
    loadSnapshot: (ref, name, revision) => soon(() => contents.loadSnapshot(who, ref, name, revision)),
    listSnapshots: (ref, name) => soon(() => contents.listSnapshots(who, ref, name)),
    rollback: (ref, name, revision) => done(() => contents.rollback(who, ref, name, revision)),
    // An event is numbered before it is stored.
    events: (ref, query) => stored().then(() => contents.events(who, ref, query)),
    appendEvent: (ref, track, type, data) => done(() => contents.appendEvent(who, ref, track, type, data)),
    summary: (ref) => stored().then(() => contents.summary(who, ref)),
    summarize: (ref, text, upTo) => done(() => contents.summarize(who, ref, text, upTo)),
    follow: (ref, onevent) => soon(() => contents.follow(who, ref, harmless(onevent))),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

async function disconnect(sessions: SessionOperations, who: Principal, principal: string): Promise<number> {
  let paused = 0;
  let cursor: string | undefined;
  do {
    const page = sessions.list(who, {
      principal,
      states: ['idle', 'active', 'error'],
      ...(cursor === undefined ? {} : { cursor }),
    });
    await Promise.all(page.sessions.map(({ id }) => sessions.pause(who, id, true)));
    paused += page.sessions.length;
    cursor = page.nextCursor;
  } while (cursor !== undefined);
  return paused;
}

async function callEach(
  calls: readonly ToolCall[],
  run: (call: ToolCall) => Promise<ToolResult>,
  { parallel = false, stopOnError = true }: BatchOptions = {},
): Promise<ItemResult<ToolResult>[]> {
  const settle = async (call: ToolCall): Promise<ItemResult<ToolResult>> => {
    try {
      return { ok: true, value: await run(call) };
    } catch (error) {
      return { ok: false, error: asProxyError(error).toJsonRpc() };
    }
  };
  if (parallel) return Promise.all(calls.map(settle));
  const results: ItemResult<ToolResult>[] = [];
  for (const call of calls) {
    const result = await settle(call);
    results.push(result);
    if (stopOnError && (!result.ok || result.value.isError === true)) break;
  }
  return results;
}
