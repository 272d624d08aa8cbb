import type { ServerConfig } from '../config/schema.js';
import { formatDuration } from '../config/units.js';
import { isFields, type Fields } from '../protocol/messages.js';
import type { Handle } from '../protocol/methods.js';

/** Names for the argument, in this order: the first that the tool has not itself. */
const ARGUMENTS = ['session', 'mcp_session', 'mcp_session_handle'] as const;

/** Adds a handle to the tools of servers that want one, and takes it out of their calls. */
export class Handles {
  readonly #modes: ReadonlyMap<string, ServerConfig['handles']>;
  readonly #description: string;
  /** By server and tool, as far as lists have been seen. */
  readonly #arguments = new Map<string, Map<string, string>>();

  /** @param retention how long a session is kept after its last use, milliseconds */
  constructor(servers: readonly ServerConfig[], retention: number) {
    this.#modes = new Map(servers.map(({ name, handles }) => [name, handles]));
    this.#description =
      'Session to work in: the id that session_create gave, or its name. What the server keeps (pages, logins, ' +
      `variables) belongs to the session. A session is kept for ${formatDuration(retention)} after its last use.`;
  }

  /** A tool as the model sees it. */
  expose(server: string, tool: Fields): Fields {
    const mode = this.#modes.get(server);
    if (mode === undefined || mode === 'off') return tool;
    const schema = isFields(tool.inputSchema) ? tool.inputSchema : { type: 'object' };
    const properties = isFields(schema.properties) ? schema.properties : {};
    const argument = ARGUMENTS.find((name) => !Object.hasOwn(properties, name)) ?? ARGUMENTS[0];
    const known = this.#arguments.get(server) ?? new Map<string, string>();
    this.#arguments.set(server, known.set(String(tool.name), argument));
    const required: unknown[] = Array.isArray(schema.required) ? schema.required : [];
    return {
      ...tool,
      inputSchema: {
        ...schema,
        properties: { ...properties, [argument]: { type: 'string', description: this.#description } },
        ...(mode === 'required' ? { required: [...required, argument] } : {}),
      },
    };
  }

  /** The handle in a call; undefined where the tool has none, or may do without. */
  read(server: string, tool: string, params: Fields | undefined): Handle | undefined {
    const mode = this.#modes.get(server);
    if (mode === undefined || mode === 'off') return undefined;
    const args = isFields(params?.arguments) ? params.arguments : {};
    const argument = this.#argumentOf(server, tool, args);
    const value = Object.hasOwn(args, argument) ? args[argument] : undefined;
    return value === undefined && mode === 'optional' ? undefined : { argument, value };
  }

  /** The params without the handle. */
  strip(server: string, tool: string, params: Fields): Fields {
    const mode = this.#modes.get(server);
    if (mode === undefined || mode === 'off' || !isFields(params.arguments)) return params;
    const { [this.#argumentOf(server, tool, params.arguments)]: _, ...args } = params.arguments;
    return { ...params, arguments: args };
  }

  /** A client may call what it saw in a list before our last start: then the call itself tells best. */
  #argumentOf(server: string, tool: string, args: Fields): string {
    const known = this.#arguments.get(server)?.get(tool);
    return known ?? ARGUMENTS.findLast((name) => Object.hasOwn(args, name)) ?? ARGUMENTS[0];
  }
}
