import { z } from 'zod';
import { ProxyError } from '../errors.js';
import type { Fields } from '../protocol/messages.js';
import { toJson } from '../session/state.js';
import { followEvents } from './client-follow.js';
import { ApiClient, toProxyError, type RemoteDoorOptions } from './client-http.js';
import type { Door, ItemResult, NewSession } from './door.js';
import * as schema from './schemas.js';
import { harmless } from './tail.js';

export type { RemoteDoorOptions } from './client-http.js';

/**
 * The door to the sessions of a proxy elsewhere, over its HTTP API.
 *
 * @example
 * await using door = remoteDoor('http://127.0.0.1:8808', { token });
 * const { id } = await door.create({ name: 'research' });
 *
 * @param url of the proxy, with the path it has on its host if it has one; or `unix:PATH`, its socket on this machine
 */
export function remoteDoor(url: string, options: RemoteDoorOptions = {}): Door {
  const client = new ApiClient(url, options);
  const follows = new Set<() => void>();

  const get = <Schema extends z.ZodType>(path: string[], result: Schema, query = {}) =>
    client.ask({ method: 'GET', path, query }, result);
  const post = <Schema extends z.ZodType>(path: string[], result: Schema, body: unknown = {}) =>
    client.ask({ method: 'POST', path, body }, result);
  const session = (ref: string, verb: string, body?: unknown) =>
    post(['sessions', ref, verb], schema.sessionView, body);
  const nothing = z.unknown();

  return {
    // -- sessions ------------------------------------------------------------------------------------------------
    create: async (given = {}) => post(['sessions'], schema.sessionView, checked(given)),
    getOrCreate: async (given) => {
      const body = { ...checked(given), getOrCreate: true };
      const { existed = false, ...made } = await post(['sessions'], schema.openedSession, body);
      return { ...made, existed };
    },
    find: (ref, scope = 'agent') =>
      orNull('SESSION_NOT_FOUND', get(['sessions', ref], schema.sessionView, { scope })),
    info: (ref) => get(['sessions', ref], schema.sessionView),
    list: ({ states, ...query } = {}) =>
      get(['sessions'], schema.sessionPage, { ...query, ...(states ? { state: states.join(',') } : {}) }),
    stats: () => get(['stats'], schema.fields),
    extend: (ref, seconds) => session(ref, 'extend', { seconds }),
    refresh: (ref) => session(ref, 'refresh'),
    refreshAll: async () => (await post(['refresh'], z.object({ refreshed: schema.count }))).refreshed,
    pause: (ref, force = false) => session(ref, 'pause', { force }),
    resume: (ref) => session(ref, 'resume'),
    restart: (ref) => session(ref, 'restart'),
    recover: (ref) => session(ref, 'recover'),
    update: (ref, body) => client.ask({ method: 'PATCH', path: ['sessions', ref], body }, schema.sessionView),
    fork: (ref, name) => session(ref, 'fork', { name }),
    close: async (ref, query = {}) => {
      const response = await client.send({ method: 'DELETE', path: ['sessions', ref], query: { ...query } });
      return response.headers.get('X-Session-Closed') === 'true';
    },
    closeAll: async () =>
      (await post(['sessions:close'], z.object({ closed: schema.count }), { all: true })).closed,
    collect: () => post(['gc'], z.object({ paused: schema.count, deleted: schema.count })),
    createMany: async (items) =>
      itemsOf(await post(['sessions'], schema.results(schema.sessionView), { items: items.map(checked) })),
    closeMany: async (refs) => itemsOf(await post(['sessions:close'], schema.results(z.boolean()), { refs })),
    share: (ref, alias, principals) => session(ref, 'share', { alias, with: principals }),
    disconnect: async (principal) =>
      (await post(['users', principal, 'disconnect'], z.object({ paused: schema.count }))).paused,

    // -- servers and tools ---------------------------------------------------------------------------------------
    servers: async () => (await get(['servers'], z.object({ servers: z.array(schema.serverView) }))).servers,
    bind: (ref, server) => post(['sessions', ref, 'bindings', server], schema.sessionView),
    unbind: (ref, server) =>
      client.ask({ method: 'DELETE', path: ['sessions', ref, 'bindings', server] }, schema.sessionView),
    ping: async (ref, server) =>
      (await post(['sessions', ref, 'ping'], z.object({ servers: z.array(schema.ping) }), { server }))
        .servers,
    reinitialize: (ref, server, change) =>
      post(['sessions', ref, 'bindings', server, 'reinitialize'], schema.reinitialized, change),
    listTools: async (ref) =>
      (await get(['sessions', ref, 'tools'], z.object({ tools: z.array(schema.fields) }))).tools,
    clearCache: async (ref) => void (await post(['sessions', ref, 'clear-cache'], nothing)),
    callTool: async (ref, tool, args = {}) => {
      const path = ref === undefined ? ['tools', tool] : ['sessions', ref, 'tools', tool];
      return (await post(path, z.object({ result: schema.fields }), { arguments: args })).result;
    },
    callMany: async (ref, calls, batch = {}) =>
      itemsOf(await post(['sessions', ref, 'tools'], schema.results(schema.fields), { calls, ...batch })),

    // -- state ---------------------------------------------------------------------------------------------------
    getState: async (ref) =>
      (await get(['sessions', ref, 'state'], z.object({ state: schema.fields }))).state,
    getValue: (ref, key) => get(['sessions', ref, 'state', key], schema.stateValue),
    setValue: async (ref, key, value, { merge, ...saving } = {}) => {
      toJson(key, value);
      const body = { value, ...saving };
      const path = ['sessions', ref, 'state', key];
      return client.ask({ method: 'PUT', path, query: { merge }, body }, schema.stateValue);
    },
    deleteValue: async (ref, key, { version } = {}) => {
      const path = ['sessions', ref, 'state', key];
      const result = z.object({ deleted: z.boolean() });
      return (await client.ask({ method: 'DELETE', path, query: { version } }, result)).deleted;
    },
    saveSnapshot: async (ref, name, value) => {
      if (value !== undefined) toJson(name, value);
      return post(['sessions', ref, 'snapshots'], schema.snapshot, { name, value });
    },
    loadSnapshot: (ref, name, revision) =>
      orNull('STATE_NOT_FOUND', get(['sessions', ref, 'snapshots', name], schema.snapshot, { revision })),
    listSnapshots: async (ref, name) => {
      const result = z.object({ snapshots: z.array(schema.snapshot) });
      return (await get(['sessions', ref, 'snapshots'], result, { name })).snapshots;
    },
    rollback: async (ref, name, revision) => {
      const path = ['sessions', ref, 'snapshots', name, 'rollback'];
      return (await post(path, z.object({ state: schema.fields }), { revision })).state;
    },

    // -- events --------------------------------------------------------------------------------------------------
    events: async (ref, query = {}) => {
      const result = z.object({ events: z.array(schema.eventView) });
      return (await get(['sessions', ref, 'events'], result, query)).events;
    },
    appendEvent: async (ref, track, type, data) =>
      void (await post(['sessions', ref, 'events'], nothing, { track, type, data })),
    summary: (ref) => orNull('STATE_NOT_FOUND', get(['sessions', ref, 'summary'], schema.summary)),
    summarize: (ref, text, upTo) =>
      client.ask({ method: 'PUT', path: ['sessions', ref, 'summary'], body: { text, upTo } }, schema.summary),
    follow: async (ref, onevent) => {
      const stop = await followEvents(client, ref, harmless(onevent));
      follows.add(stop);
      return () => {
        follows.delete(stop);
        stop();
      };
    },
    [Symbol.asyncDispose]: () => {
      for (const stop of follows) stop();
      return Promise.resolve();
    },
  };
}

/** What JSON cannot hold must not get lost on the way. @throws {ProxyError} STATE_VALUE_INVALID */
function checked<Given extends NewSession>(given: Given): Given {
  for (const [key, value] of Object.entries(given.state ?? {})) toJson(key, value);
  return given;
}

async function orNull<T>(code: ProxyError['code'], answer: Promise<T>): Promise<T | null> {
  try {
    return await answer;
  } catch (error) {
    if (error instanceof ProxyError && error.code === code) return null;
    throw error;
  }
}

type Told<T> =
  { ok: true; value: T } | { ok: false; error: { code: string; message: string; details?: Fields } };

function itemsOf<T>({ results }: { results: Told<T>[] }): ItemResult<T>[] {
  return results.map((item) => (item.ok ? item : { ok: false, error: toProxyError(item.error).toJsonRpc() }));
}
