import type { Transport } from '@modelcontextprotocol/sdk/shared/transport.js';
import type {
  BindingInfo,
  PingView,
  Reinitialized,
  ServerChange,
  SessionChange,
  SessionView,
  ToolResult,
} from '../admin/door.js';
import { formatDuration } from '../config/units.js';
import { ProxyError } from '../errors.js';
import type { Fields } from '../protocol/messages.js';
import { Address } from './address.js';
import { callAll, type BatchOptions, type Call, type CallOptions } from './batch.js';
import { Kept } from './kept.js';
import type { Context } from './link.js';
import { innerName, outerName } from './names.js';
import { serversOwn, type Outcome } from './outcome.js';
import { waitUntil, waitUntilReady, within } from './wait.js';

/** How long `waitFor` waits by default, milliseconds. */
const PATIENCE = 30_000;

/** A session as it is shown, with its numbers of servers and tools. */
export interface SessionInfo extends SessionView {
  /** Whether servers of it run. */
  active: boolean;
  serviceCount: number;
  /** As `listTools` of this handle last found; null before. */
  toolCount: number | null;
  tools: string[] | null;
}

/**
 * A session in a program's hands. Its servers start with the first call, and again with the next one after a pause; what
 * that lost is said in the call's result.
 *
 * Everything it does fails with a `ProxyError`: SESSION_NOT_FOUND or SESSION_CLOSED when the session is no more,
 * SESSION_BUSY when calls are under way that stand against it, SERVER_UNAVAILABLE when a server cannot be started.
 */
export class SessionHandle extends Kept implements AsyncDisposable {
  /** Made here, so that disposing of the handle closes it. */
  readonly #made: boolean;
  readonly #address: Address;
  #name: string | null;
  #tools: string[] | null = null;

  /** @internal */
  constructor(context: Context, view: Pick<SessionView, 'id' | 'name'>, made: boolean) {
    super(context, view);
    this.#made = made;
    this.#name = innerName(context.prefix, view.name);
    this.#address = new Address(context, view.id);
  }

  /** As this handle last saw it; null for a session that has only its id. */
  get name(): string | null {
    return this.#name;
  }

  // -- servers and tools -----------------------------------------------------------------------------------------

  /** Adds one of the configured servers where the session has only some, and starts it. Idempotent. */
  async bindService(server: string): Promise<SessionView> {
    return this.#view(this.context.door.bind(this.id, server));
  }

  /** Stops a server and takes it away from the session. */
  async unbindService(server: string): Promise<SessionView> {
    this.#tools = null;
    return this.#view(this.context.door.unbind(this.id, server));
  }

  /**
   * Calls a tool. What the server answers is the result, also when it says `isError`.
   *
   * @example
   * const page = await session.useTool('browser_navigate', { url: 'https://example.com' }, { timeout: 20_000 });
   * if (page.isError) console.error(textOf(page));
   *
   * @param options `timeout` in milliseconds; a call given up goes on in the session, and `timeouts.call` of its server holds
   * @throws {ProxyError} TOOL_NOT_FOUND, CALL_TIMEOUT, OUTCOME_UNKNOWN, SERVER_UNAVAILABLE, SERVER_BUSY, SESSION_CLOSED
   */
  async useTool(tool: string, args: Fields = {}, { timeout }: CallOptions = {}): Promise<ToolResult> {
    const { door, link } = this.context;
    const late = () =>
      new ProxyError(
        'CALL_TIMEOUT',
        `${tool} did not answer within ${formatDuration(timeout ?? 0)} and goes on: whether it takes effect is unknown.`,
      );
    return serversOwn(await within(link.clock, timeout, door.callTool(this.id, tool, args), late));
  }

  /**
   * Calls several tools, one after the other until one fails, or with `parallel` all at once.
   * @returns what became of each call that was made, in their order
   */
  callMany(calls: readonly Call[], options: BatchOptions = {}): Promise<Outcome<ToolResult>[]> {
    return callAll(this.context.door, this.id, calls, options);
  }

  /** The tools of its servers as MCP lists them, asked afresh; starts the servers. */
  async listTools(): Promise<Fields[]> {
    const tools = await this.context.door.listTools(this.id);
    this.#tools = tools.map(({ name }) => String(name));
    return tools;
  }

  /** Its servers and how it is connected to each. Starts none. */
  async listServices(): Promise<BindingInfo[]> {
    return (await this.context.door.info(this.id)).bindings;
  }

  /** Whether it is connected to each of its servers, by their names. Starts none. */
  async connectionStatus(): Promise<Record<string, boolean>> {
    const bindings = await this.listServices();
    return Object.fromEntries(bindings.map(({ server, state }) => [server, state === 'connected']));
  }

  /** Starts its servers, or one of them, and asks each whether it is there. One that does not answer is stopped. */
  ping(server?: string): Promise<PingView[]> {
    return this.context.door.ping(this.id, server);
  }

  /**
   * Replaces a server's process by one with other arguments or environment; if that fails the old one goes on.
   * @throws {ProxyError} FORBIDDEN against a URL, unless the token is an administrator's
   */
  async reinitialize(server: string, change: ServerChange): Promise<Reinitialized> {
    // What a server is started with is up to whoever runs the proxy, and that is this program.
    const done = await this.context.link.door.reinitialize(this.id, server, change);
    return { ...done, session: this.#seen(done.session) };
  }

  /** Forgets what is known of the servers' lists; no process is touched. */
  async clearCache(): Promise<void> {
    this.#tools = null;
    await this.context.door.clearCache(this.id);
  }

  // -- life ------------------------------------------------------------------------------------------------------

  /** How it stands. Looking moves no deadline and starts nothing. */
  async info(): Promise<SessionInfo> {
    const view = await this.#view(this.context.door.info(this.id));
    return {
      ...view,
      active: view.state === 'active',
      serviceCount: view.bindings.length,
      toolCount: this.#tools && this.#tools.length,
      tools: this.#tools,
    };
  }

  /** Moves the deadline by exactly so many seconds, counted from now when it has passed. */
  extend(seconds: number): Promise<SessionView> {
    return this.#view(this.context.door.extend(this.id, seconds));
  }

  /** Makes the deadline what it is after a call: the idle time from now. */
  refresh(): Promise<SessionView> {
    return this.#view(this.context.door.refresh(this.id));
  }

  /** Stops its servers and keeps everything else; the next call starts them. @param force also under calls */
  pause({ force = false } = {}): Promise<SessionView> {
    return this.#view(this.context.door.pause(this.id, force));
  }

  /** Starts its servers. Look at `state` and `bindings` of what comes back, or use `waitFor('ready')`. */
  resume(): Promise<SessionView> {
    return this.#view(this.context.door.resume(this.id));
  }

  /** Replaces the processes of all servers that run; id, name and state stay. */
  restart(): Promise<SessionView> {
    return this.#view(this.context.door.restart(this.id));
  }

  /** Tries once more to start what could not be started. @throws {ProxyError} SERVER_UNAVAILABLE */
  recover(): Promise<SessionView> {
    return this.#view(this.context.door.recover(this.id));
  }

  /** Gives it another name, or with null none. @throws {ProxyError} SESSION_EXISTS, SESSION_NAME_INVALID, SESSION_BUSY */
  rename(name: string | null): Promise<SessionView> {
    return this.update({ name });
  }

  /** Changes it: what is left out stays, null goes back to the configured default. @throws {ProxyError} SESSION_BUSY */
  update({ name, ...change }: SessionChange): Promise<SessionView> {
    const { door, prefix } = this.context;
    const named = name === undefined ? {} : { name: outerName(prefix, name ?? undefined) ?? null };
    return this.#view(door.update(this.id, { ...change, ...named }));
  }

  /** A new session with the state and settings of this one, and none of its connections. */
  async fork(name?: string): Promise<SessionHandle> {
    const { door, prefix } = this.context;
    return new SessionHandle(this.context, await door.fork(this.id, outerName(prefix, name)), true);
  }

  /**
   * Closes it for good: its processes end, its name is free. Closing twice is no error.
   * @param options `force` kills its servers at once, `purge` deletes all that is left of it
   * @returns whether it was open
   */
  close(options: { force?: boolean; purge?: boolean } = {}): Promise<boolean> {
    return this.context.door.close(this.id, options);
  }

  /** Closes the session if this handle made it. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#made) await this.close();
  }

  // -- waiting ---------------------------------------------------------------------------------------------------

  /**
   * Waits until something holds of it; `'ready'` starts its servers and waits until all are connected.
   *
   * @example
   * await session.waitFor('ready', { timeout: 10_000 });
   * await session.waitFor(({ state }) => state === 'paused');
   *
   * @param options `timeout` in milliseconds, 30 s by default
   * @throws {ProxyError} CALL_TIMEOUT saying how the session stands, SESSION_CLOSED
   */
  async waitFor(
    wanted: 'ready' | ((session: SessionView) => boolean | Promise<boolean>),
    { timeout = PATIENCE } = {},
  ): Promise<SessionView> {
    const { door, link } = this.context;
    const watched = {
      clock: link.clock,
      look: () => this.#view(door.info(this.id)),
      follow: (onevent: () => void) => door.follow(this.id, onevent),
      start: () => door.resume(this.id),
    };
    return wanted === 'ready' ? waitUntilReady(watched, timeout) : waitUntil(watched, timeout, wanted);
  }

  // -- for others ------------------------------------------------------------------------------------------------

  /** Lets other principals, or everybody by `*`, find it as `@alias`. */
  share(alias: string, principals: readonly string[]): Promise<SessionView> {
    return this.#view(this.context.door.share(this.id, alias, [...principals]));
  }

  /**
   * The address under which MCP clients reach it: `…/mcp/s/NAME`. A session that has no name, or is not the client's own,
   * is shared with those who are to come, and reached by its id.
   *
   * @param options `for`: principals that will come; by default whoever reaches a proxy without authentication, and
   *   against a URL the token's own
   * @throws {ProxyError} NOT_FOUND when the proxy of this process does not listen
   */
  async url(options: { for?: readonly string[] } = {}): Promise<string> {
    const { endpoint } = this.context.link;
    if (endpoint === undefined) {
      throw new ProxyError(
        'NOT_FOUND',
        'The proxy listens nowhere: open it with listen: true, or use asTransport().',
      );
    }
    return `${endpoint}/s/${await this.#address.find(options.for)}`;
  }

  /**
   * A transport for a client of the MCP SDK that is to work in this session.
   *
   * @example
   * const client = new Client({ name: 'mine', version: '1' });
   * await client.connect(await session.asTransport());
   */
  async asTransport(): Promise<Transport> {
    return this.context.link.transport(await this.#address.find());
  }

  // -- within ----------------------------------------------------------------------------------------------------

  async #view(view: Promise<SessionView>): Promise<SessionView> {
    return this.#seen(await view);
  }

  #seen(view: SessionView): SessionView {
    this.#name = innerName(this.context.prefix, view.name);
    return { ...view, name: this.#name };
  }
}
