import type { Fields } from './messages.js';

/**
 * How a client's request finds its server: one table, read by the catalog. A method that is not in it is unknown to
 * us and passes all the same (`any`).
 *
 * - `each`   goes to every server, the answers become one list under `list`
 * - `name`, `uri`, `ref`, `task` go to the server that owns what the params name
 * - `all`    goes to every server that declares `needs`, and is answered with an empty result
 */
export type Routing =
  | { by: 'each'; list: string; needs: Capability }
  | { by: 'name'; kind: 'tool' | 'prompt' }
  | { by: 'uri' }
  | { by: 'ref' }
  | { by: 'task' }
  | { by: 'all'; needs: Capability }
  | { by: 'any' };

/** A server capability as `initialize` declares it. */
export type Capability = 'tools' | 'prompts' | 'resources' | 'logging' | 'completions' | 'tasks';

const TABLE: Readonly<Record<string, Routing>> = {
  'tools/list': { by: 'each', list: 'tools', needs: 'tools' },
  'tools/call': { by: 'name', kind: 'tool' },
  'prompts/list': { by: 'each', list: 'prompts', needs: 'prompts' },
  'prompts/get': { by: 'name', kind: 'prompt' },
  'resources/list': { by: 'each', list: 'resources', needs: 'resources' },
  'resources/templates/list': { by: 'each', list: 'resourceTemplates', needs: 'resources' },
  'resources/read': { by: 'uri' },
  'resources/subscribe': { by: 'uri' },
  'resources/unsubscribe': { by: 'uri' },
  'completion/complete': { by: 'ref' },
  'logging/setLevel': { by: 'all', needs: 'logging' },
  'tasks/list': { by: 'each', list: 'tasks', needs: 'tasks' },
  'tasks/get': { by: 'task' },
  'tasks/result': { by: 'task' },
  'tasks/cancel': { by: 'task' },
};

const UNKNOWN: Routing = { by: 'any' };

export function routingOf(method: string): Routing {
  return Object.hasOwn(TABLE, method) ? (TABLE[method] ?? UNKNOWN) : UNKNOWN;
}

/**
 * Requests that may change something or run long. Their answer is worth keeping: the stream of such a call can be
 * resumed after a broken connection or a crash. The rest (lists, ping) is simply asked again.
 */
export function isWorthKeeping(method: string): boolean {
  if (method === 'ping') return false;
  const routing = routingOf(method);
  return routing.by !== 'each' && routing.by !== 'all';
}

/** The argument by which a model says in which session a tool is to work. */
export interface Handle {
  argument: string;
  /** Undefined where it is required and missing. */
  value: unknown;
}

/** Where the catalog sends a request. `params` are the server's own, with its own names. */
export type Route =
  /** To one server. */
  | { to: 'one'; server: string; params: Fields | undefined }
  /** To every server with the capability; their answers become one list. */
  | { to: 'each'; needs: Capability; list: string }
  /** To every server with the capability; each takes it. */
  | { to: 'all'; needs: Capability }
  /** To the servers in turn, until one knows what it is about. */
  | { to: 'first' };
