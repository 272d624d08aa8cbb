import { z } from 'zod';
import { route, type Route } from '../route.js';
import * as schema from '../schemas.js';

/** What concerns no one session. */
export const proxyRoutes: Route[] = [
  route({
    method: 'GET',
    path: '/servers',
    summary: 'Lists the configured servers.',
    input: {},
    result: z.object({ servers: z.array(schema.serverView) }),
    run: async (door) => ({ servers: await door.servers() }),
  }),
  route({
    method: 'GET',
    path: '/stats',
    summary:
      "Counts the caller's sessions by state, those that run, and requests under way; everybody's for administrators.",
    input: {},
    result: schema.fields,
    run: (door) => door.stats(),
  }),
  route({
    method: 'POST',
    path: '/gc',
    summary: 'Ends what is due and deletes what is old, now instead of by and by; for administrators.',
    input: {},
    result: z.object({ paused: schema.count, deleted: schema.count }),
    run: (door) => door.collect(),
  }),
  route({
    method: 'POST',
    path: '/refresh',
    summary: "Moves the deadlines of all the caller's sessions.",
    input: {},
    result: z.object({ refreshed: schema.count }),
    run: async (door) => ({ refreshed: await door.refreshAll() }),
  }),
  route({
    method: 'POST',
    path: '/users/{principal}/disconnect',
    summary: 'Pauses all sessions of a principal, also under requests; for administrators.',
    input: { params: z.strictObject({ principal: schema.text }) },
    result: z.object({ paused: schema.count }),
    run: async (door, { params: { principal } }) => ({ paused: await door.disconnect(principal) }),
  }),
];
