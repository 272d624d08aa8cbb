import { z } from 'zod';
import { count, duration, size } from './units.js';

const strings = z.array(z.string());

/** How sessions live: their clocks, limits, state, and what is kept of them. */
export const sessions = z.strictObject({
  ttl: duration()
    .default(1_800_000)
    .describe('Idle time after which a session is paused and its servers stopped.'),
  onTimeout: z.enum(['pause', 'close']).default('pause').describe('What happens then.'),
  maxAge: duration().optional().describe('Age at which a session is closed, whether it is used or not.'),
  retention: duration()
    .default(604_800_000)
    .describe('Time after the last use at which a session is deleted.'),
  max: count(1)
    .default(1000)
    .describe('Sessions with running servers; beyond it the longest idle one is paused.'),
  maxPerPrincipal: count(1).default(100).describe('The same for the sessions of one principal.'),
  maxKept: count(1)
    .default(10_000)
    .describe(
      'Sessions kept of one principal, with servers or without; beyond it the longest unused go: first closed ones, then those without name and servers.',
    ),
  maxCalls: count(1).default(1000).describe('Requests under way in one session; more get an error (429).'),
  maxQuestions: count(1)
    .default(100)
    .describe('Questions of one server that wait for a client; more get an error.'),
  unidentified: z
    .enum(['auto', 'new', 'principal', 'reject'])
    .default('auto')
    .describe(
      'What a client gets that names no session. auto: new where it keeps a session id (before 2026-07-28), else principal. ' +
        'new: a session of its own, or one for the call alone. principal: the one named default. reject: an error.',
    ),
  tools: z
    .boolean()
    .default(false)
    .describe('Offers the session_* tools and session:// resources to models.'),
  state: z
    .record(z.string(), z.json())
    .default({})
    .describe('State of a new session; app: and user: keys too.'),
  stateTtl: z
    .strictObject({
      app: duration().optional().describe('app: keys.'),
      user: duration().optional().describe('user: keys.'),
      session: duration().optional().describe('Keys without a prefix.'),
    })
    .default({})
    .describe('Time after its last change at which a value is deleted, by level; without it, never.'),
  outbox: z
    .strictObject({
      messages: count(1).default(1000).describe('Messages.'),
      bytes: size()
        .default(64 * 1024 ** 2)
        .describe('Their size.'),
      age: duration().default(3_600_000).describe('Time since a message was sent.'),
    })
    .prefault({})
    .describe(
      'What is kept of a stream for a client that comes back; beyond it the oldest messages go. A client that is ' +
        'connected and only reads slowly loses nothing before ten times as much.',
    ),
  events: z
    .strictObject({
      keep: count(1).default(1000).describe('Events kept of a session.'),
      arguments: z.boolean().default(true).describe('Records the arguments of tool calls, redacted.'),
      redact: strings
        .default([])
        .describe('Names of arguments whose values are not recorded, besides those that look like secrets.'),
      redactPatterns: strings
        .default([])
        .describe('Regular expressions; what they match in a text is not recorded.'),
    })
    .prefault({}),
});

export type SessionsConfig = z.output<typeof sessions>;
