import { z } from 'zod';

/** What passes through the HTTP API, described once: the API checks requests by it, the client answers. */

/** A greater one would be past the last date there is a notation for. */
const LONGEST_SECONDS = 315_360_000; // ten years

const LARGEST_BATCH = 500;

export const fields = z.record(z.string(), z.unknown());
export const text = z.string().min(1);
export const seconds = z.number().positive().max(LONGEST_SECONDS);
export const count = z.int().min(0);
export const onTimeout = z.enum(['pause', 'close']);
export const scope = z.enum(['agent', 'store']);
export const states = z.enum(['idle', 'active', 'paused', 'error', 'closed']);
const bindingScope = z.enum(['session', 'principal', 'shared', 'call']);

export const bindingView = z
  .object({
    id: z.string(),
    server: z.string(),
    scope: bindingScope,
    state: z.enum(['unbound', 'connecting', 'connected', 'disconnected', 'failed']),
    generation: count.describe('Grows when the process or remote session is replaced.'),
    pid: count.exactOptional(),
    tools: count.exactOptional().describe('How many it has for clients, as it last listed them.'),
    error: z.string().exactOptional(),
  })
  .meta({ id: 'Binding' });

export const sessionView = z
  .object({
    id: z.string(),
    name: z.string().nullable(),
    principal: z.string(),
    scope: scope.describe("agent: the principal's own; store: shared by all principals."),
    state: states,
    temporary: z.boolean(),
    createdAt: z.iso.datetime(),
    updatedAt: z.iso.datetime(),
    lastActiveAt: z.iso.datetime(),
    expiresAt: z.iso.datetime().nullable().describe('When it is due to be paused or closed.'),
    bindings: z.array(bindingView),
    rungs: z
      .object({
        handle: count.exactOptional(),
        address: count.exactOptional(),
        hint: count.exactOptional(),
        id: count.exactOptional(),
        policy: count.exactOptional(),
      })
      .describe('Its requests since the proxy started, by what named it.'),
  })
  .meta({ id: 'Session' });

export const openedSession = sessionView
  .extend({ existed: z.boolean().exactOptional().describe('Of getOrCreate: whether it was there before.') })
  .meta({ id: 'OpenedSession' });

export const sessionPage = z.object({
  sessions: z.array(sessionView),
  nextCursor: z.string().exactOptional().describe('Where the next page begins; absent on the last.'),
});

export const newSession = z
  .strictObject({
    name: z.string().exactOptional(),
    scope: scope.exactOptional(),
    servers: z.array(text).exactOptional().describe('Those it has; all by default.'),
    ttlSeconds: seconds.exactOptional(),
    onTimeout: onTimeout.exactOptional(),
    state: fields.exactOptional().describe('State to begin with.'),
    bind: z
      .union([z.boolean(), z.literal('atomic')], { error: 'expected true, false or atomic' })
      .exactOptional()
      .describe('Start its servers now; atomic: all of them, or make no session.'),
  })
  .meta({ id: 'NewSession' });

export const openSession = newSession
  .extend({
    getOrCreate: z.boolean().exactOptional().describe('Answer the one of that name if there is one.'),
  })
  .superRefine(({ name, getOrCreate }, context) => {
    if (getOrCreate && name === undefined)
      context.addIssue({ code: 'custom', path: ['name'], message: 'must be given with getOrCreate' });
  });

export const newSessions = z.strictObject({ items: z.array(newSession).max(LARGEST_BATCH) });

export const sessionChange = z.strictObject({
  name: z.string().nullable().exactOptional(),
  ttlSeconds: seconds.nullable().exactOptional(),
  onTimeout: onTimeout.nullable().exactOptional(),
});

export const refs = z.array(text).max(LARGEST_BATCH);

/** A failure inside an answer, and the body of one that is a failure itself. */
export const failure = z
  .object({
    code: z.string().describe('Stable; for programs.'),
    message: z.string().describe('What happened and what to do; for people.'),
    details: fields.exactOptional(),
  })
  .meta({ id: 'Failure' });

export const failed = z.object({ error: failure });

/** What became of each item of a batch, in its order. */
export function results<Value extends z.ZodType>(value: Value) {
  return z.object({
    results: z.array(
      z.discriminatedUnion('ok', [
        z.object({ ok: z.literal(true), value }),
        z.object({ ok: z.literal(false), error: failure }),
      ]),
    ),
  });
}

export const toolCall = z.strictObject({ tool: text, arguments: fields.exactOptional() });

export const toolCalls = z.strictObject({
  calls: z.array(toolCall).max(LARGEST_BATCH),
  parallel: z.boolean().exactOptional(),
  stopOnError: z.boolean().exactOptional().describe('Of calls one after the other; true by default.'),
});

export const serverView = z
  .object({ name: z.string(), kind: z.enum(['local', 'remote']), scope: bindingScope })
  .meta({ id: 'Server' });

export const ping = z.object({
  server: z.string(),
  ok: z.boolean(),
  ms: count.describe('How long it took to find out, milliseconds.'),
  error: z.string().exactOptional(),
});

export const serverChange = z.strictObject({
  args: z.array(z.string()).exactOptional(),
  env: z.record(z.string(), z.string()).exactOptional(),
});

export const reinitialized = z.object({
  oldBindingId: z.string(),
  newBindingId: z.string(),
  configApplied: z.boolean(),
  session: sessionView,
});

export const stateValue = z.object({ value: z.unknown(), version: count }).meta({ id: 'StateValue' });

export const snapshot = z
  .object({ name: z.string(), revision: count, createdAt: z.iso.datetime(), value: z.unknown() })
  .meta({ id: 'Snapshot' });

export const summary = z
  .object({
    text: z.string(),
    upTo: count.describe('Number of the last event that it covers.'),
    at: z.iso.datetime(),
  })
  .meta({ id: 'Summary' });

export const eventView = z
  .object({ seq: count, at: z.iso.datetime(), type: z.string(), data: fields })
  .meta({ id: 'Event' });
