import type { ServerConfig } from '../config/schema.js';
import { ProxyError } from '../errors.js';
import { isFields, type Fields } from '../protocol/messages.js';
import { routingOf, type Handle, type Route } from '../protocol/methods.js';
import { paramHeadersOf, type ParamHeader } from '../protocol/modern.js';
import { mergeDescriptions } from './describe.js';
import { Handles } from './handles.js';
import { isOffered, Names } from './names.js';

/** Routes learned from answers; the oldest are forgotten. */
const MAX_LEARNED = 10_000;

/** What the configured servers offer, as one list, and the way from a name back to its server. */
export class Catalog {
  readonly #servers: ReadonlyMap<string, ServerConfig>;
  readonly #names: Names;
  readonly #handles: Handles;
  /** URI, or literal beginning of a URI template, to its server. */
  readonly #resources = new Map<string, string>();
  readonly #templates = new Map<string, string>();
  readonly #tasks = new Map<string, string>();
  readonly #readOnly = new Map<string, Map<string, boolean>>();
  /** By the name that clients know. */
  readonly #paramHeaders = new Map<string, readonly ParamHeader[]>();

  /** @param retention how long a session is kept after its last use, milliseconds */
  constructor(servers: readonly ServerConfig[], retention: number) {
    this.#servers = new Map(servers.map((server) => [server.name, server]));
    this.#names = new Names(servers);
    this.#handles = new Handles(servers, retention);
  }

  /** @throws {ProxyError} TOOL_NOT_FOUND, NOT_FOUND */
  route(method: string, params: Fields | undefined): Route {
    const routing = routingOf(method);
    const only = this.#servers.size === 1 ? [...this.#servers.keys()][0] : undefined;
    switch (routing.by) {
      case 'each':
        return { to: 'each', needs: routing.needs, list: routing.list };
      case 'all':
        return { to: 'all', needs: routing.needs };
      case 'name':
        return this.#routeName(params, routing.kind);
      case 'uri':
        return this.#toServer(only ?? this.#ownerOf(params?.uri), params);
      case 'ref': {
        const { ref } = params ?? {};
        if (!isFields(ref) || typeof ref.name !== 'string') {
          return this.#toServer(only ?? this.#ownerOf(isFields(ref) ? ref.uri : undefined), params);
        }
        const found = this.#names.resolve(ref.name, 'prompt');
        return this.#toServer(found?.server, { ...params, ref: { ...ref, name: found?.name ?? ref.name } });
      }
      case 'task':
        return this.#toServer(only ?? this.#tasks.get(String(params?.taskId)), params);
      case 'any':
        return this.#toServer(only, params);
    }
  }

  /** One server's answer as clients see it; what it says of routes is remembered. */
  expose(server: string, method: string, result: Fields): Fields {
    if (isFields(result.task) && typeof result.task.taskId === 'string') {
      learn(this.#tasks, result.task.taskId, server);
    }
    const routing = routingOf(method);
    if (routing.by !== 'each') return result;
    const items = result[routing.list];
    if (!Array.isArray(items)) return result;
    const exposed = items.flatMap((item: unknown) =>
      isFields(item) ? this.#exposeItem(server, routing.list, item) : [],
    );
    return { ...result, [routing.list]: exposed };
  }

  /** The answers of several servers to one list request, as one. */
  merge(list: string, results: readonly Fields[]): Fields {
    const items = results.flatMap((result) =>
      Array.isArray(result[list]) ? (result[list] as unknown[]) : [],
    );
    if (list !== 'resources') return { [list]: items };
    // Two servers may name a resource alike; it can be read from one of them only, and that is the first.
    const uris = new Set<unknown>();
    return { [list]: items.filter((item) => isFields(item) && !uris.has(item.uri) && uris.add(item.uri)) };
  }

  readonly describe = mergeDescriptions;

  /** Whether a server says that its tool changes nothing; undefined when it has not been asked for its list. */
  isReadOnly(server: string, tool: string): boolean | undefined {
    const tools = this.#readOnly.get(server);
    return tools && (tools.get(tool) ?? false);
  }

  /** The session that the arguments of a tool call name; undefined where they need not and do not. */
  handle(params: Fields | undefined): Handle | undefined {
    const found = this.#names.resolve(String(params?.name), 'tool');
    return found && this.#handles.read(found.server, found.name, params);
  }

  /** What a tool wants repeated in headers; nothing as long as its server's list has not been seen. */
  paramHeaders(tool: string): readonly ParamHeader[] {
    return this.#paramHeaders.get(tool) ?? [];
  }

  #routeName(params: Fields | undefined, kind: 'tool' | 'prompt'): Route {
    const name = typeof params?.name === 'string' ? params.name : '';
    const found = this.#names.resolve(name, kind);
    const config = found && this.#servers.get(found.server);
    if (!config || (kind === 'tool' && !isOffered(config, found.name))) {
      const code = kind === 'tool' ? 'TOOL_NOT_FOUND' : 'NOT_FOUND';
      throw new ProxyError(code, `No ${kind} "${name}" is offered here. ${kind}s/list names those that are.`);
    }
    const own = { ...params, name: found.name };
    const sent = kind === 'tool' ? this.#handles.strip(found.server, found.name, own) : own;
    return { to: 'one', server: found.server, params: sent };
  }

  #toServer(server: string | undefined, params: Fields | undefined): Route {
    return server === undefined ? { to: 'first' } : { to: 'one', server, params };
  }

  #ownerOf(uri: unknown): string | undefined {
    if (typeof uri !== 'string') return undefined;
    const owner = this.#resources.get(uri);
    if (owner) return owner;
    // No template is matched: a pattern from a server is not ours to run. Its literal beginning tells enough.
    let best = '';
    for (const prefix of this.#templates.keys())
      if (uri.startsWith(prefix) && prefix.length > best.length) best = prefix;
    return this.#templates.get(best);
  }

  #exposeItem(server: string, list: string, item: Fields): Fields[] {
    switch (list) {
      case 'tools':
        return this.#exposeTool(server, item);
      case 'prompts':
        return this.#rename(server, item, 'prompt');
      case 'resources':
        if (!this.#resources.has(String(item.uri))) learn(this.#resources, String(item.uri), server);
        return [item];
      case 'resourceTemplates': {
        const [prefix = ''] = String(item.uriTemplate).split('{');
        if (prefix !== '') learn(this.#templates, prefix, server);
        return [item];
      }
      case 'tasks':
        learn(this.#tasks, String(item.taskId), server);
        return [item];
      default:
        return [item];
    }
  }

  #exposeTool(server: string, tool: Fields): Fields[] {
    const name = String(tool.name);
    const config = this.#servers.get(server);
    const readOnly = isFields(tool.annotations) && tool.annotations.readOnlyHint === true;
    const known = this.#readOnly.get(server) ?? new Map<string, boolean>();
    this.#readOnly.set(server, known.set(name, readOnly));
    if (!config || !isOffered(config, name)) return [];
    const [exposed] = this.#rename(server, this.#handles.expose(server, tool), 'tool');
    if (!exposed) return [];
    const headers = paramHeadersOf(tool.inputSchema);
    if (headers.length > 0) this.#paramHeaders.set(String(exposed.name), headers);
    else this.#paramHeaders.delete(String(exposed.name));
    return [exposed];
  }

  #rename(server: string, item: Fields, kind: 'tool' | 'prompt'): Fields[] {
    const name = this.#names.exposed(server, String(item.name), kind);
    return name === undefined ? [] : [{ ...item, name }];
  }
}

function learn(routes: Map<string, string>, key: string, server: string): void {
  routes.delete(key);
  routes.set(key, server);
  if (routes.size <= MAX_LEARNED) return;
  const [oldest] = routes.keys();
  if (oldest !== undefined) routes.delete(oldest);
}
