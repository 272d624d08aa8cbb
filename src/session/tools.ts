import { z } from 'zod';
import type { Principal } from '../auth/principal.js';
import { ProxyError } from '../errors.js';
import { isFields, type Fields } from '../protocol/messages.js';
import type { SessionContents } from './contents.js';
import type { Exchange } from './exchange.js';
import type { SessionOperations } from './operations.js';

/** The session that a model is in. */
export interface Current {
  readonly id: string;
}

/** What the proxy itself offers models, beside the servers' tools. */
export interface OwnTools {
  /** As `tools/list` lists them. */
  readonly tools: readonly Fields[];
  has(tool: string): boolean;
  /** @throws {ProxyError} INVALID_PARAMS and whatever the operation throws */
  call(current: Current, exchange: Exchange): Promise<Fields>;
  readonly resources: readonly Fields[];
  /** @returns undefined for a resource that is not the proxy's own */
  read(current: Current, exchange: Exchange): Fields | undefined;
}

interface Call {
  /** Whose model it is, who may be a guest in the session; never an administrator. */
  who: Principal;
  current: Current;
  exchange: Exchange;
}

interface OwnTool {
  description: string;
  input: z.ZodObject;
  readOnly: boolean;
  run: (call: Call, args: Fields) => unknown;
}

const name = z.string().describe('Name or id of a session.');
const session = name.optional().describe('Name or id of a session; this one by default.');

const CURRENT = 'session://current';
const STATE = 'session://state';

const RESOURCES: readonly Fields[] = [
  {
    uri: CURRENT,
    name: 'This session',
    mimeType: 'application/json',
    description: 'Name, state, deadline and servers of this session.',
  },
  {
    uri: STATE,
    name: 'State of this session',
    mimeType: 'application/json',
    description: 'All keys, with those of the user and the app.',
  },
];

/** What a model needs to work with handles. */
const FOR_HANDLES: ReadonlySet<string> = new Set(['session_create', 'session_list', 'session_close']);

/** What models are offered. */
export interface Offered {
  /** All tools and resources; otherwise only what goes with handles. */
  all: boolean;
  /** Whether tools of servers take a handle. */
  handles: boolean;
}

/** The session_* tools and session:// resources: the model's door to the same operations as everybody's. */
export class ModelTools implements OwnTools {
  readonly resources: readonly Fields[];
  readonly tools: readonly Fields[];
  readonly #tools: Readonly<Record<string, OwnTool>>;
  readonly #sessions: SessionOperations;
  readonly #contents: SessionContents;

  constructor(sessions: SessionOperations, contents: SessionContents, offered: Offered) {
    this.#sessions = sessions;
    this.#contents = contents;
    this.resources = offered.all ? RESOURCES : [];
    const table = Object.entries(toolTable(sessions, contents, offered));
    const chosen = table.filter(([tool]) => offered.all || FOR_HANDLES.has(tool));
    this.#tools = Object.fromEntries(chosen);
    this.tools = chosen.map(([tool, { description, input, readOnly }]) => ({
      name: tool,
      description,
      inputSchema: z.toJSONSchema(input),
      annotations: {
        readOnlyHint: readOnly,
        destructiveHint: tool === 'session_close',
        openWorldHint: false,
      },
    }));
  }

  has(tool: string): boolean {
    return Object.hasOwn(this.#tools, tool);
  }

  async call(current: Current, exchange: Exchange): Promise<Fields> {
    const { name: tool, arguments: args = {} } = exchange.params ?? {};
    const own = this.#tools[String(tool)];
    if (!own) throw new ProxyError('TOOL_NOT_FOUND', `No tool "${String(tool)}" is offered here.`);
    const parsed = own.input.safeParse(args);
    if (!parsed.success) {
      const problems = parsed.error.issues.map(
        ({ path, message }) => `${path.join('.') || 'arguments'}: ${message}`,
      );
      throw new ProxyError('INVALID_PARAMS', `${String(tool)}: ${problems.join('; ')}.`);
    }
    const who = { id: exchange.principal, admin: false };
    const value = await own.run({ who, current, exchange }, parsed.data);
    const structured = isFields(value) ? value : { value };
    return {
      content: [{ type: 'text', text: JSON.stringify(structured, null, 2) }],
      structuredContent: structured,
    };
  }

  read(current: Current, { principal, params }: Exchange): Fields | undefined {
    const who = { id: principal, admin: false };
    const uri = params?.uri;
    const contents = (value: unknown) => ({
      contents: [{ uri, mimeType: 'application/json', text: JSON.stringify(value, null, 2) }],
    });
    if (this.resources.length === 0) return undefined;
    if (uri === CURRENT) return contents(this.#sessions.info(who, current.id));
    if (uri === STATE) return contents(this.#contents.getState(who, current.id));
    return undefined;
  }
}

function toolTable(
  sessions: SessionOperations,
  contents: SessionContents,
  offered: Offered,
): Record<string, OwnTool> {
  const ways = [
    ...(offered.handles ? ['Pass its id as the session of each tool that takes one.'] : []),
    ...(offered.all ? ['Use session_use to work in it from now on.'] : []),
  ].join(' ');
  const ref = ({ current }: Call, args: Fields) =>
    typeof args.session === 'string' ? args.session : current.id;
  return {
    session_create: {
      description: `Creates a session with servers of its own (a browser of its own, a database connection of its own). It stays until it is closed; idle, its servers stop and start again with its next call. ${ways}`,
      input: z.strictObject({
        name: z
          .string()
          .optional()
          .describe('Letters, digits, dots, hyphens and underscores; without one it has only an id.'),
        servers: z.array(z.string()).optional().describe('Only these of the configured servers.'),
        state: z.record(z.string(), z.json()).optional().describe('State to begin with.'),
      }),
      readOnly: false,
      run: ({ who }, args) => sessions.create(who, args),
    },
    session_list: {
      description: 'Lists your sessions, last used first.',
      input: z.strictObject({ limit: z.int().min(1).max(100).optional(), cursor: z.string().optional() }),
      readOnly: true,
      run: ({ who }, args) => sessions.list(who, args),
    },
    session_info: {
      description: 'Says what a session is: name, state, deadline, servers and whether they run.',
      input: z.strictObject({ session }),
      readOnly: true,
      run: (call, args) => sessions.info(call.who, ref(call, args)),
    },
    session_use: {
      description: 'From now on, every tool call of this conversation takes place in that session.',
      input: z.strictObject({ session: name }),
      readOnly: false,
      run: (call, args) => {
        const info = sessions.info(call.who, ref(call, args));
        call.exchange.use(info.id);
        return info;
      },
    },
    session_extend: {
      description: 'Moves the time at which an idle session is paused by so many seconds.',
      input: z.strictObject({
        session,
        seconds: z
          .number()
          .positive()
          .max(30 * 86_400),
      }),
      readOnly: false,
      run: (call, args) => sessions.extend(call.who, ref(call, args), Number(args.seconds)),
    },
    session_restart: {
      description:
        'Starts the servers of a session anew: what they kept in memory is lost, the state of the session stays.',
      input: z.strictObject({ session }),
      readOnly: false,
      run: (call, args) => sessions.restart(call.who, ref(call, args)),
    },
    session_close: {
      description:
        'Closes a session for good: its servers stop and its files are deleted. Its name is free again.',
      input: z.strictObject({ session: name }),
      readOnly: false,
      run: async (call, args) => ({ closed: await sessions.close(call.who, ref(call, args)) }),
    },
    session_state_get: {
      description:
        "Reads what was kept in a session: one key, or all. user: keys are yours in all sessions, app: keys everybody's.",
      input: z.strictObject({ session, key: z.string().optional() }),
      readOnly: true,
      run: (call, args) =>
        typeof args.key === 'string'
          ? contents.getValue(call.who, ref(call, args), args.key)
          : contents.getState(call.who, ref(call, args)),
    },
    session_state_set: {
      description:
        'Keeps a JSON value in a session, under a key or, with user: before it, for all your sessions.',
      input: z.strictObject({
        session,
        key: z.string(),
        value: z.json(),
        version: z.int().min(0).optional().describe('Only if this version stands there; 0 for none.'),
        merge: z.boolean().optional().describe('Lays an object over what is there.'),
      }),
      readOnly: false,
      run: (call, { key, value, version, merge, ...args }) =>
        contents.setValue(call.who, ref(call, args), String(key), value, {
          ...(typeof version === 'number' ? { version } : {}),
          ...(merge === true ? { merge } : {}),
        }),
    },
    session_summary: {
      description:
        'Keeps a text that sums up what happened in a session so far, for whoever goes on in it; without a text it tells the last one.',
      input: z.strictObject({ session, text: z.string().min(1).optional() }),
      readOnly: false,
      run: async (call, { text, ...args }) => ({
        summary:
          typeof text === 'string'
            ? await contents.summarize(call.who, ref(call, args), text)
            : contents.summary(call.who, ref(call, args)),
      }),
    },
    session_events: {
      description: 'Tells what happened in a session: the last events, oldest first.',
      input: z.strictObject({
        session,
        last: z.int().min(1).max(1000).default(20),
        since: z.iso.datetime().optional(),
      }),
      readOnly: true,
      run: (call, { last, since, ...args }) => ({
        events: contents.events(call.who, ref(call, args), {
          last: Number(last),
          ...(typeof since === 'string' ? { since: Date.parse(since) } : {}),
        }),
      }),
    },
  };
}
