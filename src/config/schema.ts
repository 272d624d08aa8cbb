import { z } from 'zod';
import { authSchema } from './auth.js';
import { checkCompanions, companions, toCompanions, type CompanionConfig } from './companions.js';
import { checkRecovery, recovery, type RecoveryConfig } from './recovery.js';
import { sessions, type SessionsConfig } from './sessions.js';
import { confusedNames, tools } from './tools.js';
import { count, duration, size } from './units.js';
import { clientsSchema, type HintConfig } from './clients.js';

/** The config file, described once: validation, defaults, types and the JSON Schema for editors all come from here. */

const strings = z.array(z.string());

const listen = z.strictObject({
  host: z
    .string()
    .default('127.0.0.1')
    .describe('Address to listen on. Anything but loopback needs allowedHosts.'),
  port: count(0, 65_535).default(8808).describe('TCP port; 0 takes any free one.'),
  path: z
    .string()
    .regex(/^\/[\w\-./]*$/, 'must start with a slash')
    .default('/mcp')
    .describe('Path of the MCP endpoint.'),
  allowedHosts: strings
    .default([])
    .describe('Host names clients may use besides localhost, 127.0.0.1 and [::1]. Others get 403.'),
  allowedOrigins: strings
    .default([])
    .describe(
      'Origins of web pages that may call, like https://app.example.com. Loopback origins always may.',
    ),
  maxBody: size()
    .default(4 * 1024 ** 2)
    .describe('Largest request body; more gets 413.'),
});

const daemon = z.strictObject({
  idle: duration()
    .default(600_000)
    .describe(
      'Time without clients and running servers after which it ends. Its sessions stay in the store.',
    ),
});

const SERVER_NAME = /^[a-zA-Z0-9][a-zA-Z0-9_-]{0,63}$/;

const server = z
  .strictObject({
    command: z.string().min(1).optional().describe('Program of a local server; started without a shell.'),
    args: strings
      .default([])
      .describe('Its arguments. ${session.dir}, ${session.id}, ${session.name} are filled in.'),
    env: z
      .record(z.string(), z.string())
      .default({})
      .describe('Environment besides HOME, LOGNAME, PATH, SHELL, TERM, USER.'),
    cwd: z
      .string()
      .optional()
      .describe('Working directory; relative to this file, which is also the default.'),
    url: z
      .url({ protocol: /^https?$/, error: 'must be an http or https URL' })
      .optional()
      .describe('Endpoint of a remote server.'),
    headers: z
      .record(z.string(), z.string())
      .default({})
      .describe('Headers of every request to a remote server.'),
    transport: z
      .enum(['auto', 'http', 'sse'])
      .default('auto')
      .describe('auto: Streamable HTTP, then HTTP+SSE.'),
    era: z
      .enum(['auto', 'legacy', 'modern'])
      .default('auto')
      .describe('What the server speaks: legacy (to 2025-11-25), modern (2026-07-28), or auto.'),
    scope: z
      .enum(['session', 'principal', 'shared', 'call'])
      .default('session')
      .describe('Who shares one connection: a session, all sessions of a principal, everybody, or nobody.'),
    tools: tools.prefault({}),
    timeouts: z
      .strictObject({
        start: duration().default(60_000).describe('From start to the answer to initialize.'),
        call: duration()
          .default(180_000)
          .describe('A request without answer or progress; waiting for the user does not count.'),
      })
      .prefault({}),
    healthCheck: duration()
      .optional()
      .describe(
        'A connection that was not used for so long is pinged before a call, and replaced if it does not answer.',
      ),
    handles: z
      .enum(['off', 'optional', 'required'])
      .default('off')
      .describe(
        'Gives its tools the argument "session", by which a model says in which session to work, and offers session_create, session_list and session_close.',
      ),
    concurrency: count(1)
      .optional()
      .describe('Tool calls of one connection at a time; without it there is no limit.'),
    retry: z
      .enum(['readOnly', 'never'])
      .default('readOnly')
      .describe('Send a call again after its server died: only tools that say readOnlyHint, or never.'),
    maxMessage: size()
      .default(64 * 1024 ** 2)
      .describe('Largest answer of a server; a larger one fails its call.'),
    preset: z
      .string()
      .optional()
      .describe('Settings of a known server to start from; none for none. Found by the command line.'),
    companions: companions.describe(
      'Processes beside it that are started before it, go on when it alone ends, and are stopped after it, by name.',
    ),
    ...recovery,
  })
  .superRefine((value, context) => {
    const wrong = (key: string, message: string) =>
      context.addIssue({ code: 'custom', path: [key], message });
    checkRecovery(value, wrong);
    checkCompanions(value, wrong);
    if (value.command === undefined && value.url === undefined) {
      wrong('command', 'is missing: give "command" (a local server) or "url" (a remote one)');
    } else if (value.command !== undefined && value.url !== undefined) {
      wrong('url', 'cannot stand beside "command": a server is either local or remote');
    } else if (value.url !== undefined) {
      if (value.args.length > 0) wrong('args', 'is for local servers; a remote one takes "headers"');
      if (Object.keys(value.env).length > 0)
        wrong('env', 'is for local servers; a remote one takes "headers"');
      if (value.cwd !== undefined) wrong('cwd', 'is for local servers');
      if (value.era === 'modern' && value.transport === 'sse') wrong('era', 'cannot be modern over "sse"');
    } else if (Object.keys(value.headers).length > 0) {
      wrong('headers', 'is for remote servers; a local one takes "env"');
    }
  });

const servers = z.record(
  z.string().regex(SERVER_NAME, 'must be 1 to 64 letters, digits, - or _, beginning with a letter or digit'),
  server,
);

export const configSchema = z
  .strictObject({
    $schema: z.string().optional(),
    listen: listen.prefault({}),
    auth: authSchema
      .prefault({})
      .describe('Who may call. Without it, everybody on this machine is one local principal.'),
    store: z
      .string()
      .min(1)
      .optional()
      .describe("SQLite file; relative to this file. Default: the user's state folder."),
    sessions: sessions.prefault({}),
    daemon: daemon.prefault({}).describe('The process behind clients on pipes (--stdio).'),
    clients: clientsSchema
      .default({})
      .describe('How clients name their conversation, besides those known to the proxy and before them.'),
    servers: servers.optional().describe('The MCP servers, by name.'),
    mcpServers: servers.optional().describe('The same key under the name that MCP clients use.'),
  })
  .superRefine(({ servers: own = {}, mcpServers = {} }, context) => {
    for (const { path, message } of confusedNames({ servers: own, mcpServers })) {
      context.addIssue({ code: 'custom', path, message });
    }
  });

export type ListenConfig = z.output<typeof listen>;
type ServerEntry = z.output<typeof server>;

type CommonKeys =
  'era' | 'scope' | 'tools' | 'handles' | 'timeouts' | 'healthCheck' | 'retry' | 'maxMessage' | 'preset';

interface CommonServerConfig extends Pick<ServerEntry, CommonKeys>, RecoveryConfig {
  name: string;
  concurrency: number;
}

export interface LocalServerConfig extends CommonServerConfig {
  kind: 'local';
  command: string;
  args: string[];
  env: Record<string, string>;
  cwd: string;
  companions: Record<string, CompanionConfig>;
}

export interface RemoteServerConfig extends CommonServerConfig {
  kind: 'remote';
  url: string;
  headers: Record<string, string>;
  transport: ServerEntry['transport'];
}

export type ServerConfig = LocalServerConfig | RemoteServerConfig;

/** One config file, read, filled in and checked. Durations in milliseconds, sizes in bytes, paths absolute. */
export interface Config {
  file: string;
  listen: ListenConfig;
  auth: z.output<typeof authSchema>;
  /** The SQLite file; folders of sessions stand in a folder of its name without extension. */
  store: string;
  sessions: SessionsConfig;
  daemon: z.output<typeof daemon>;
  /** Where clients name their conversation, in the order in which it is looked for. */
  hints: HintConfig[];
  servers: ServerConfig[];
  /** What was passed over, one sentence each. */
  warnings: string[];
}

/** One entry of `servers` as the rest of the program knows it; relative paths start at `folder`. */
export function toServerConfig(
  name: string,
  entry: ServerEntry,
  resolve: (path: string) => string,
): ServerConfig {
  const {
    command,
    args,
    env,
    cwd,
    companions: beside,
    url,
    headers,
    transport,
    concurrency,
    ...common
  } = entry;
  const shared = { ...common, name, concurrency: concurrency ?? Infinity };
  if (url !== undefined) return { ...shared, kind: 'remote', url, headers, transport };
  const folder = resolve(cwd ?? '.');
  return {
    ...shared,
    kind: 'local',
    command: command ?? '',
    args,
    env,
    cwd: folder,
    companions: toCompanions(beside, folder, resolve),
  };
}

/** JSON Schema of the config file, for editors. */
export function configJsonSchema(): Record<string, unknown> {
  return { title: 'mcp-session-proxy', ...z.toJSONSchema(configSchema, { io: 'input' }) };
}
