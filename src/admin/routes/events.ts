import { z } from 'zod';
import { ProxyError } from '../../errors.js';
import { MAIN_TRACK } from '../../session/history.js';
import { Live, route, type Route } from '../route.js';
import * as schema from '../schemas.js';
import { tail } from '../tail.js';

const params = z.strictObject({ ref: schema.text });

const query = z.strictObject({
  last: schema.count.exactOptional().describe('The last so many; all that are kept by default.'),
  since: z
    .string()
    .refine((text) => !Number.isNaN(toTime(text)), 'must be a time in ISO 8601 or milliseconds since 1970')
    .exactOptional()
    .describe('Not before this time: ISO 8601, or milliseconds since 1970.'),
  after: schema.count.exactOptional().describe('After this sequence.'),
  track: schema.text.exactOptional().describe("A track of the user's own; the session's by default."),
  follow: z
    .boolean()
    .exactOptional()
    .describe('Go on with what happens, as server-sent events; so does "Accept: text/event-stream".'),
});

/** The history of a session. */
export const eventRoutes: Route[] = [
  route({
    method: 'GET',
    path: '/sessions/{ref}/events',
    summary: 'Reads events, oldest first, and follows them.',
    input: { params, query },
    result: z.object({ events: z.array(schema.eventView) }),
    run: async (door, { params: { ref }, query: { follow = false, since, ...rest } }) => {
      const asked = { ...rest, ...(since === undefined ? {} : { since: toTime(since) }) };
      if (!follow) return { events: await door.events(ref, asked) };
      if ((asked.track ?? MAIN_TRACK) !== MAIN_TRACK) {
        throw new ProxyError(
          'INVALID_PARAMS',
          "query.track: only the session's own track can be followed. Leave one of track and follow out.",
        );
      }
      const [newest] = await door.events(ref, { last: 1 });
      return new Live(asked.after ?? newest?.seq ?? 0, (send) => tail(door, ref, asked, send));
    },
  }),
  route({
    method: 'POST',
    path: '/sessions/{ref}/events',
    summary: "Adds an event to a track of the user's own.",
    input: {
      params,
      body: z.strictObject({
        track: z
          .string()
          .refine((track) => track !== MAIN_TRACK, "must not be main, which is the session's own"),
        type: schema.text,
        data: schema.fields.exactOptional(),
      }),
    },
    result: z.void(),
    statuses: [204],
    run: (door, { params: { ref }, body: { track, type, data = {} } }) =>
      door.appendEvent(ref, track, type, data),
  }),
  route({
    method: 'GET',
    path: '/sessions/{ref}/summary',
    summary: 'Reads what was last written to sum up the history.',
    input: { params },
    result: schema.summary,
    run: async (door, { params: { ref } }) => {
      const found = await door.summary(ref);
      if (found) return found;
      throw new ProxyError('STATE_NOT_FOUND', `Nobody has summed up session "${ref}" yet.`);
    },
  }),
  route({
    method: 'PUT',
    path: '/sessions/{ref}/summary',
    summary: 'Keeps a text that sums up the history up to an event; events and earlier summaries stay.',
    input: {
      params,
      body: z.strictObject({
        text: schema.text,
        upTo: schema.count.exactOptional().describe('Number of the last event covered; by default the last.'),
      }),
    },
    result: schema.summary,
    run: (door, { params: { ref }, body: { text, upTo } }) => door.summarize(ref, text, upTo),
  }),
];

function toTime(text: string): number {
  return /^\d+$/.test(text) ? Number(text) : Date.parse(text);
}
