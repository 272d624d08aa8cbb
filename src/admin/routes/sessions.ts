import { z } from 'zod';
import { ProxyError } from '../../errors.js';
import { route, type Route } from '../route.js';
import * as schema from '../schemas.js';
import { told } from './told.js';

const params = z.strictObject({
  ref: schema.text.describe('Id or name of a session, or @ and an alias; percent-encoded.'),
});
const session = schema.sessionView;
const byRef = { params };

/** What has a session for its answer and nothing to be told: the verb is all. */
const plain = (['refresh', 'resume', 'restart', 'recover'] as const).map((verb) =>
  route({
    method: 'POST',
    path: `/sessions/{ref}/${verb}`,
    summary: {
      refresh: 'Moves the deadline as a request would: ttl from now.',
      resume: 'Starts its servers.',
      restart: 'Gives all its servers new processes; id and state stay.',
      recover: 'Tries again what could not be started.',
    }[verb],
    input: byRef,
    result: session,
    run: (door, { params: { ref } }) => door[verb](ref),
  }),
);

/** Sessions themselves: made, found, changed, ended. */
export const sessionRoutes: Route[] = [
  route({
    method: 'GET',
    path: '/sessions',
    summary: 'Lists sessions, the last updated first. Looking moves no deadline.',
    input: {
      query: z.strictObject({
        limit: z.int().min(1).max(500).exactOptional().describe('Sessions on a page; 20 by default.'),
        cursor: z.string().exactOptional().describe('nextCursor of the page before.'),
        state: z.array(schema.states).exactOptional().describe('In one of these; all but closed by default.'),
        principal: schema.text.exactOptional().describe('Those of this principal; for administrators.'),
        all: z.boolean().exactOptional().describe("Everybody's; for administrators."),
      }),
    },
    result: schema.sessionPage,
    run: (door, { query: { state, ...query } }) =>
      door.list({ ...query, ...(state ? { states: state } : {}) }),
  }),
  route({
    method: 'POST',
    path: '/sessions',
    summary: 'Makes a session, or with items one for each; with getOrCreate only where there is none.',
    input: { body: z.union([schema.openSession, schema.newSessions]) },
    result: z.union([schema.openedSession, schema.results(session)]),
    statuses: [201, 200],
    run: async (door, { body }) => {
      if ('items' in body) return told(await door.createMany(body.items));
      const { getOrCreate = false, name, ...rest } = body;
      if (getOrCreate && name !== undefined) return door.getOrCreate({ ...rest, name });
      return door.create({ ...rest, ...(name === undefined ? {} : { name }) });
    },
    answer: (made) => ({ status: 'results' in made || made.existed ? 200 : 201, body: made }),
  }),
  route({
    method: 'POST',
    path: '/sessions:close',
    summary: 'Closes those of the list, or with all every session of the caller.',
    input: {
      body: z.union([z.strictObject({ refs: schema.refs }), z.strictObject({ all: z.literal(true) })]),
    },
    result: z.union([schema.results(z.boolean()), z.object({ closed: schema.count })]),
    run: async (door, { body }) =>
      'refs' in body ? told(await door.closeMany(body.refs)) : { closed: await door.closeAll() },
  }),
  route({
    method: 'GET',
    path: '/sessions/{ref}',
    summary: 'Shows a session, also a closed one; with scope only an open one whose name is of that scope.',
    input: { params, query: z.strictObject({ scope: schema.scope.exactOptional() }) },
    result: session,
    run: async (door, { params: { ref }, query: { scope } }) => {
      if (scope === undefined) return door.info(ref);
      const found = await door.find(ref, scope);
      if (found) return found;
      throw new ProxyError('SESSION_NOT_FOUND', `There is no open session "${ref.slice(0, 80)}".`);
    },
  }),
  route({
    method: 'PATCH',
    path: '/sessions/{ref}',
    summary: 'Changes a session: what is left out stays, null goes back to the default.',
    input: { params, body: schema.sessionChange },
    result: session,
    run: (door, { params: { ref }, body }) => door.update(ref, body),
  }),
  route({
    method: 'DELETE',
    path: '/sessions/{ref}',
    summary: 'Closes a session for good. Closing what is closed, or not there, is no error.',
    input: {
      params,
      query: z.strictObject({
        force: z.boolean().exactOptional().describe('Kill its servers at once.'),
        purge: z.boolean().exactOptional().describe('Delete all that is left of it.'),
      }),
    },
    result: z.boolean(),
    statuses: [204],
    run: (door, { params: { ref }, query }) => door.close(ref, query),
    answer: (closed) => ({ status: 204, headers: { 'X-Session-Closed': String(closed) } }),
  }),
  route({
    method: 'POST',
    path: '/sessions/{ref}/extend',
    summary: 'Moves the deadline by exactly so many seconds.',
    input: { params, body: z.strictObject({ seconds: schema.seconds }) },
    result: session,
    run: (door, { params: { ref }, body: { seconds } }) => door.extend(ref, seconds),
  }),
  route({
    method: 'POST',
    path: '/sessions/{ref}/pause',
    summary: 'Stops its servers and keeps everything else; with force also under requests.',
    input: { params, body: z.strictObject({ force: z.boolean().exactOptional() }) },
    result: session,
    run: (door, { params: { ref }, body: { force } }) => door.pause(ref, force),
  }),
  ...plain,
  route({
    method: 'POST',
    path: '/sessions/{ref}/fork',
    summary: 'Makes a session with the state and settings of this one and none of its connections.',
    input: { params, body: z.strictObject({ name: z.string().exactOptional() }) },
    result: session,
    statuses: [201],
    run: (door, { params: { ref }, body: { name } }) => door.fork(ref, name),
  }),
  route({
    method: 'POST',
    path: '/sessions/{ref}/share',
    summary: 'Lets principals, or everybody by *, use the session as @alias.',
    input: { params, body: z.strictObject({ alias: z.string(), with: schema.refs }) },
    result: session,
    run: (door, { params: { ref }, body }) => door.share(ref, body.alias, body.with),
  }),
];
