import { z } from 'zod';
import { ProxyError } from '../../errors.js';
import { route, type Route } from '../route.js';
import * as schema from '../schemas.js';
import { told } from './told.js';

const params = z.strictObject({ ref: schema.text });
const byServer = z.strictObject({ ref: schema.text, server: schema.text });
const byTool = z.strictObject({ ref: schema.text, tool: schema.text });
const byKey = z.strictObject({
  ref: schema.text,
  key: schema.text.describe('With its prefix, as in user:name.'),
});
const byName = z.strictObject({ ref: schema.text, name: schema.text });

const version = schema.count.exactOptional().describe('The version to replace, 0 for none; any by default.');
const revision = z.int().min(1).exactOptional().describe('The latest by default.');
const args = z.strictObject({ arguments: schema.fields.exactOptional() });
const result = z.object({ result: schema.fields.describe('As the server gave it; look at isError.') });

const servers: Route[] = [
  route({
    method: 'POST',
    path: '/sessions/{ref}/bindings/{server}',
    summary: 'Starts a server for the session, and adds it where the session has only some. Idempotent.',
    input: { params: byServer },
    result: schema.sessionView,
    run: (door, { params: { ref, server } }) => door.bind(ref, server),
  }),
  route({
    method: 'DELETE',
    path: '/sessions/{ref}/bindings/{server}',
    summary: 'Stops a server and takes it away from the session.',
    input: { params: byServer },
    result: schema.sessionView,
    run: (door, { params: { ref, server } }) => door.unbind(ref, server),
  }),
  route({
    method: 'POST',
    path: '/sessions/{ref}/ping',
    summary:
      'Starts its servers, or one of them, and asks each whether it is there; one that is not is stopped.',
    input: { params, body: z.strictObject({ server: schema.text.exactOptional() }) },
    result: z.object({ servers: z.array(schema.ping) }),
    run: async (door, { params: { ref }, body: { server } }) => ({ servers: await door.ping(ref, server) }),
  }),
  route({
    method: 'POST',
    path: '/sessions/{ref}/bindings/{server}/reinitialize',
    summary:
      "Replaces a server's process by one with other arguments or environment; else the old one goes on.",
    input: { params: byServer, body: schema.serverChange },
    result: schema.reinitialized,
    run: (door, { params: { ref, server }, body }) => door.reinitialize(ref, server, body),
  }),
];

const tools: Route[] = [
  route({
    method: 'GET',
    path: '/sessions/{ref}/tools',
    summary: 'Lists the tools of its servers, which starts them.',
    input: { params },
    result: z.object({ tools: z.array(schema.fields) }),
    run: async (door, { params: { ref } }) => ({ tools: await door.listTools(ref) }),
  }),
  route({
    method: 'POST',
    path: '/sessions/{ref}/tools',
    summary: 'Calls several tools, one after the other until one fails, or all at once.',
    input: { params, body: schema.toolCalls },
    result: schema.results(schema.fields),
    run: async (door, { params: { ref }, body: { calls, ...options } }) =>
      told(await door.callMany(ref, calls, options)),
  }),
  route({
    method: 'POST',
    path: '/sessions/{ref}/tools/{tool}',
    summary: 'Calls a tool in the session.',
    input: { params: byTool, body: args },
    result,
    run: async (door, { params: { ref, tool }, body }) => ({
      result: await door.callTool(ref, tool, body.arguments),
    }),
  }),
  route({
    method: 'POST',
    path: '/tools/{tool}',
    summary: 'Calls a tool in a session that lasts for this call.',
    input: { params: z.strictObject({ tool: schema.text }), body: args },
    result,
    run: async (door, { params: { tool }, body }) => ({
      result: await door.callTool(undefined, tool, body.arguments),
    }),
  }),
  route({
    method: 'POST',
    path: '/sessions/{ref}/clear-cache',
    summary: 'Forgets what is known of the lists of its servers.',
    input: { params },
    result: z.void(),
    statuses: [204],
    run: (door, { params: { ref } }) => door.clearCache(ref),
  }),
];

const state: Route[] = [
  route({
    method: 'GET',
    path: '/sessions/{ref}/state',
    summary: 'Reads all state, with the prefixes of its levels.',
    input: { params },
    result: z.object({ state: schema.fields }),
    run: async (door, { params: { ref } }) => ({ state: await door.getState(ref) }),
  }),
  route({
    method: 'GET',
    path: '/sessions/{ref}/state/{key}',
    summary: 'Reads one value.',
    input: { params: byKey },
    result: schema.stateValue,
    run: (door, { params: { ref, key } }) => door.getValue(ref, key),
  }),
  route({
    method: 'PUT',
    path: '/sessions/{ref}/state/{key}',
    summary: 'Sets one value; with a version only in place of that one.',
    input: {
      params: byKey,
      query: z.strictObject({
        merge: z.boolean().exactOptional().describe('Lay an object over what is there.'),
      }),
      body: z.strictObject({ value: z.unknown(), version }),
    },
    result: schema.stateValue,
    run: (door, { params: { ref, key }, query, body: { value, ...saving } }) =>
      door.setValue(ref, key, value, { ...query, ...saving }),
  }),
  route({
    method: 'DELETE',
    path: '/sessions/{ref}/state/{key}',
    summary: 'Deletes one value; with a version only that one.',
    input: { params: byKey, query: z.strictObject({ version }) },
    result: z.object({ deleted: z.boolean() }),
    run: async (door, { params: { ref, key }, query }) => ({
      deleted: await door.deleteValue(ref, key, query),
    }),
  }),
];

const value = z.unknown().optional().describe("The session's own state by default.");

const snapshots: Route[] = [
  route({
    method: 'GET',
    path: '/sessions/{ref}/snapshots',
    summary: 'Lists the latest snapshot of each name, or all of one name, oldest first.',
    input: { params, query: z.strictObject({ name: schema.text.exactOptional() }) },
    result: z.object({ snapshots: z.array(schema.snapshot) }),
    run: async (door, { params: { ref }, query: { name } }) => ({
      snapshots: await door.listSnapshots(ref, name),
    }),
  }),
  route({
    method: 'POST',
    path: '/sessions/{ref}/snapshots',
    summary: 'Keeps a value under a name, as a new revision.',
    input: { params, body: z.strictObject({ name: z.string(), value }) },
    result: schema.snapshot,
    statuses: [201],
    run: (door, { params: { ref }, body }) => door.saveSnapshot(ref, body.name, body.value),
  }),
  route({
    method: 'GET',
    path: '/sessions/{ref}/snapshots/{name}',
    summary: 'Reads a snapshot.',
    input: { params: byName, query: z.strictObject({ revision }) },
    result: schema.snapshot,
    run: async (door, { params: { ref, name }, query }) => {
      const found = await door.loadSnapshot(ref, name, query.revision);
      if (found) return found;
      throw new ProxyError('STATE_NOT_FOUND', `Session "${ref}" has no such snapshot "${name}".`);
    },
  }),
  route({
    method: 'POST',
    path: '/sessions/{ref}/snapshots/{name}',
    summary: 'Keeps a value under that name, as a new revision.',
    input: { params: byName, body: z.strictObject({ value }) },
    result: schema.snapshot,
    statuses: [201],
    run: (door, { params: { ref, name }, body }) => door.saveSnapshot(ref, name, body.value),
  }),
  route({
    method: 'POST',
    path: '/sessions/{ref}/snapshots/{name}/rollback',
    summary: "Makes the session's own state what it was in a snapshot.",
    input: { params: byName, body: z.strictObject({ revision }) },
    result: z.object({ state: schema.fields }),
    run: async (door, { params: { ref, name }, body }) => ({
      state: await door.rollback(ref, name, body.revision),
    }),
  }),
];

/** What a session holds: servers, tools, state and snapshots of it. */
export const contentRoutes: Route[] = [...servers, ...tools, ...state, ...snapshots];
