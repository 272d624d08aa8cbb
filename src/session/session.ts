import type { SessionsConfig } from '../config/sessions.js';
import { ProxyError, asProxyError, messageOf } from '../errors.js';
import { log } from '../logger.js';
import { isFields, type Fields, type Notification, type Outcome } from '../protocol/messages.js';
import type { SessionRow, SessionState as StateName } from '../store/types.js';
import type { Binding } from './binding.js';
import { Clients } from './clients.js';
import { Dispatcher, type Party, type Settings } from './dispatch.js';
import { cancelledError, type Exchange, type Outlet } from './exchange.js';
import { History, type Redactor } from './history.js';
import { Hooks } from './hooks.js';
import { asToolResult, type Loss, type SessionMeta } from './loss.js';
import { busy, closed, full, inUse } from './refusals.js';
import type { Router } from './router.js';
import { Servers, type Holder, type ServersOptions } from './servers.js';
import { SessionState } from './state.js';
import type { OwnTools } from './tools.js';

/** How stale the stored time of last use may be, milliseconds: a write for each call would buy nothing. */
const TOUCH_EVERY = 5000;

/** Why an idle session's servers are stopped; completes "the server …". */
export const IDLE = 'was stopped because the session had been idle';

/** Which state may follow which. */
const NEXT: Readonly<Record<StateName, readonly StateName[]>> = {
  idle: ['active', 'error', 'closed'],
  active: ['paused', 'error', 'closed'],
  paused: ['active', 'error', 'closed'],
  error: ['active', 'paused', 'closed'],
  closed: [],
};

export interface SessionOptions extends ServersOptions {
  instance: string;
  router: Router;
  config: SessionsConfig;
  redactor: Redactor;
  hooks?: Hooks | undefined;
  /** The proxy's own tools, where models are offered them. */
  own: () => OwnTools | undefined;
  /** Called before a session without servers starts one. @throws {ProxyError} SESSION_LIMIT */
  admit: (session: Session) => Promise<void>;
  /** Called when it has none any more. */
  retire: (session: Session) => void;
}

/** What a session is told of a server's generation. */
type Seen = Pick<Binding, 'config' | 'generation' | 'lastEnd' | 'restored'>;

/** The durable thing: what a client calls its own, whatever becomes of connections and processes. */
export class Session implements Holder, Party {
  readonly id: string;
  readonly principal: string;
  readonly temporary: boolean;
  readonly createdAt: number;
  readonly clients = new Clients();
  readonly settings: Settings;
  readonly servers: Servers;
  readonly history: History;
  readonly values: SessionState;
  readonly listed = new Map<string, number>();
  name: string | null;
  state: StateName;
  updatedAt: number;
  lastActiveAt: number;
  inFlight = 0;
  readonly #options: SessionOptions;
  readonly #seen: Map<string, number>;
  readonly #dispatcher: Dispatcher;
  readonly #hooks: Hooks;
  readonly #exchanges = new Set<Exchange>();
  #touchedAt: number;
  #pausing: Promise<void> | undefined;
  #holds = 0;

  constructor(row: SessionRow, options: SessionOptions) {
    const { store, clock, router, config, redactor, hooks = new Hooks() } = options;
    this.#options = options;
    this.id = row.id;
    this.name = row.name;
    this.principal = row.principal;
    this.temporary = row.temporary;
    this.state = row.state;
    this.createdAt = row.createdAt;
    this.updatedAt = row.updatedAt;
    this.lastActiveAt = row.lastActiveAt;
    this.#touchedAt = row.lastActiveAt;
    this.settings = JSON.parse(row.settings) as Settings;
    this.servers = new Servers(this, options);
    this.#hooks = hooks;
    this.history = new History(row.id, store, clock, config.events, redactor, hooks);
    this.values = new SessionState(row.id, row.principal, store, clock);
    this.#dispatcher = new Dispatcher(this, router, options.own());
    this.#seen = new Map(store.bindings.seen(row.id).map(({ server, generation }) => [server, generation]));
  }

  // -- requests --------------------------------------------------------------------------------------------------

  /**
   * Carries out one client request; the response is sent once `exchange.record` is stored.
   * @throws {ProxyError} CALL_CANCELLED alone; every other failure is an outcome
   */
  async request(exchange: Exchange): Promise<Outcome> {
    const { maxCalls } = this.#options.config;
    const begun = this.#options.clock.now();
    const isTool = exchange.method === 'tools/call';
    // The sweep comes now and then; the deadline holds always.
    const expired = this.expiresAt <= begun;
    this.#enter(exchange);
    try {
      if (expired) await this.timeOut();
      if (this.inFlight > maxCalls) throw full(this, maxCalls);
      // What an earlier process sent has taken place.
      if (isTool && !exchange.sent) this.#options.store.demandWritable();
      const dispatch = () => this.#dispatcher.dispatch(exchange);
      const outcome = await this.#hooks.request(exchange, this.meta(), dispatch);
      if (isTool) this.#recordCall(exchange, begun, { ok: !isFailure(outcome) });
      return outcome;
    } catch (thrown) {
      // Cancelled before it was sent: that the server is gone meanwhile is no news to anybody.
      const error = exchange.cancelled ? cancelledError() : asProxyError(thrown);
      if (error.code === 'INTERNAL') log.session.error({ session: this.id, err: thrown }, error.message);
      // What failed because nothing can be written is not written down.
      if (isTool && error.code !== 'STORE_FAILED')
        this.#recordCall(exchange, begun, { ok: false, error: error.code });
      if (error.code === 'CALL_CANCELLED') {
        if (exchange.record) this.#write(exchange.record); // no response takes it along
        throw error;
      }
      // An unknown tool is the caller's mistake and a protocol error; what befell a known one is for the model to read.
      return isTool && error.code !== 'TOOL_NOT_FOUND' ? asToolResult(error) : { error: error.toJsonRpc() };
    } finally {
      this.#leave(exchange);
    }
  }

  /** A notification of a client that concerns its servers. */
  notification(method: string, params: Fields | undefined): void {
    this.lastActiveAt = this.#options.clock.now();
    for (const binding of this.servers.held()) binding.notify(method, params);
  }

  /** The answer to `initialize`, but for the protocol version. */
  describe(): Fields {
    const described = this.servers.configs().map((config) => this.servers.description(config));
    const description = this.#options.router.describe(described);
    const own = this.#options.own();
    if (!own || !isFields(description.capabilities)) return description;
    // The proxy's own tools and resources stand beside the servers', also where those have none.
    const offered = { tools: {}, ...(own.resources.length > 0 && { resources: {} }) };
    return { ...description, capabilities: { ...offered, ...description.capabilities } };
  }

  /** Whether every server's description is known, so that `describe` presumes nothing. */
  get described(): boolean {
    return this.servers.configs().every((config) => this.servers.description(config) !== undefined);
  }

  meet(binding: Seen): void {
    if (!this.#seen.has(binding.config.name)) this.see(binding);
  }

  see({ config: { name, scope }, generation, lastEnd, restored }: Seen): Loss | undefined {
    const before = this.#seen.get(name);
    if (scope === 'call' || before === generation) return undefined;
    this.#seen.set(name, generation);
    this.#write(() => this.#options.store.bindings.see(this.id, name, generation));
    if (before === undefined) return undefined;
    const reason = lastEnd ?? 'ended';
    this.event('lost', { server: name, reason, generation, restored: restored !== undefined });
    return { server: name, reason, ...(restored && { restored }) };
  }

  // -- life ------------------------------------------------------------------------------------------------------

  async admit(): Promise<void> {
    await this.#pausing;
    if (this.isClosed) throw closed(this);
    if (this.state === 'active' || this.state === 'error') return;
    const { store, instance } = this.#options;
    if (!store.sessions.claim(this.id, instance)) throw inUse(this);
    await this.#options.admit(this);
    if (this.isClosed) throw closed(this); // while it waited for room
  }

  hold(): () => void {
    this.#holds += 1;
    return () => (this.#holds -= 1);
  }

  /** Whether nobody is at work in it, so that it may be paused for another. */
  get idle(): boolean {
    return this.inFlight === 0 && this.#holds === 0;
  }

  get isClosed(): boolean {
    return this.state === 'closed';
  }

  recovered(): void {
    this.#setState('active');
  }

  failed(reason: string): void {
    this.#setState('error', reason);
  }

  /**
   * Stops the session's servers and keeps everything else.
   * @param force also with requests under way, which end as of unknown outcome
   * @throws {ProxyError} SESSION_BUSY
   */
  async pause(reason: string, force = true): Promise<void> {
    if (!force && this.inFlight > 0) throw busy(this, 'paused');
    // A request that comes meanwhile waits, so that no second server starts beside one that is still leaving.
    this.#pausing ??= this.#release(reason).finally(() => (this.#pausing = undefined));
    await this.#pausing;
  }

  async #release(reason: string): Promise<void> {
    await this.servers.release(reason);
    this.#options.retire(this);
    this.values.forgetTemporary();
    if (this.state === 'active' || this.state === 'error') this.#setState('paused', reason);
    else this.#write(() => this.#options.store.sessions.setState(this.id, this.state, null, this.updatedAt));
  }

  /** Ends the session for good; requests under way are cancelled. @param force kills its servers at once */
  async close(reason: string, force = false): Promise<void> {
    if (this.state === 'closed') return;
    for (const exchange of this.#exchanges) exchange.cancel({ reason });
    this.#setState('closed', reason);
    this.clients.close();
    await this.servers.release(reason, force);
    this.#options.retire(this);
    this.values.forgetTemporary();
  }

  /** What is due at the deadline. */
  async timeOut(): Promise<void> {
    const { config, clock } = this.#options;
    const old = config.maxAge !== undefined && clock.due(this.createdAt, config.maxAge) <= clock.now();
    if (old) return this.close('was stopped because the session had reached its greatest age');
    if ((this.settings.onTimeout ?? config.onTimeout) === 'close') return this.close(IDLE);
    if (this.state === 'active' || this.state === 'error') return this.pause(IDLE);
  }

  /** When the session is due to be paused or closed, milliseconds; a request under way holds it. */
  get expiresAt(): number {
    if (this.inFlight > 0) return Infinity;
    const { clock, config } = this.#options;
    const { ttl = config.ttl, extended = { at: 0, ms: 0 } } = this.settings;
    const idle = Math.max(clock.due(this.lastActiveAt, ttl), clock.due(extended.at, extended.ms));
    return config.maxAge === undefined ? idle : Math.min(idle, clock.due(this.createdAt, config.maxAge));
  }

  /** Moves the deadline by exactly so many milliseconds, counted from now if it has passed. */
  extend(ms: number): void {
    const now = this.#options.clock.now();
    const from = this.inFlight > 0 ? now : Math.max(now, this.expiresAt);
    this.remember({ extended: { at: now, ms: from + ms - now } });
    this.event('extended', { ms });
  }

  /** As a request would. */
  refresh(): void {
    this.lastActiveAt = this.#options.clock.now();
    this.#write(() => this.#options.store.sessions.touch(this.id, this.lastActiveAt));
  }

  /** @throws {ProxyError} SESSION_EXISTS */
  rename(name: string | null): void {
    const now = this.#options.clock.now();
    if (!this.#options.store.sessions.setName(this.id, name, now)) {
      throw new ProxyError(
        'SESSION_EXISTS',
        `There is a session "${name}" already. Choose another name, or close that one.`,
      );
    }
    this.event('renamed', { from: this.name, to: name });
    this.name = name;
    this.updatedAt = now;
  }

  /** Changes what the session keeps of itself. */
  remember(change: Settings): void {
    Object.assign(this.settings, change);
    const settings = JSON.stringify(this.settings);
    const now = this.#options.clock.now();
    this.updatedAt = now;
    this.#write(() => this.#options.store.sessions.setSettings(this.id, settings, now));
  }

  /** Changes settings; undefined goes back to the configured default. */
  configure(change: { [Key in 'ttl' | 'onTimeout']?: Settings[Key] | undefined }): void {
    const { ttl = this.settings.ttl, onTimeout = this.settings.onTimeout } = change;
    if ('ttl' in change && change.ttl === undefined) delete this.settings.ttl;
    else if (ttl !== undefined) this.settings.ttl = ttl;
    if ('onTimeout' in change && change.onTimeout === undefined) delete this.settings.onTimeout;
    else if (onTimeout !== undefined) this.settings.onTimeout = onTimeout;
    this.remember({});
  }

  /** An event on a track of the user's own. */
  note(type: string, data: Fields, track: string): void {
    if (this.state !== 'closed') this.#write(this.history.append(type, data, track));
  }

  event(type: string, data: Fields): void {
    // A closed session takes no more.
    if (this.state !== 'closed') this.#write(this.history.append(type, data));
  }

  meta(): SessionMeta {
    return { id: this.id, name: this.name, state: this.state, temporary: this.temporary };
  }

  #setState(state: StateName, reason?: string): void {
    if (this.state === state || !NEXT[this.state].includes(state)) return;
    const { store, clock, instance } = this.#options;
    this.event('state', { from: this.state, to: state, ...(reason === undefined ? {} : { reason }) });
    this.state = state;
    this.updatedAt = clock.now();
    const holder = state === 'active' || state === 'error' ? instance : null;
    const write = () => {
      store.sessions.setState(this.id, state, holder, this.updatedAt);
      store.sessions.touch(this.id, this.lastActiveAt);
    };
    // At once, or whoever looks now finds an open session and opens it anew; later again, after what is on its way.
    if (state === 'closed') write();
    this.#write(write);
  }

  #enter(exchange: Exchange): void {
    this.#exchanges.add(exchange);
    this.inFlight += 1;
    this.lastActiveAt = this.#options.clock.now();
  }

  #leave(exchange: Exchange): void {
    this.#exchanges.delete(exchange);
    this.inFlight -= 1;
    this.lastActiveAt = this.#options.clock.now();
  }

  #recordCall(exchange: Exchange, begun: number, outcome: Fields): void {
    if (this.temporary) return; // the record would go with it, or outlive it
    const { store, clock } = this.#options;
    const now = clock.now();
    const touch = now - this.#touchedAt > TOUCH_EVERY;
    if (touch) this.#touchedAt = now;
    const { name, arguments: args } = exchange.params ?? {};
    const data = this.history.ofCall(name, args, { ...outcome, ms: now - begun });
    const append = this.history.append('call', data);
    exchange.record = () => {
      append();
      if (touch) store.sessions.touch(this.id, now);
    };
  }

  #write(job: () => void): void {
    this.#options.store.write(job).catch((error: unknown) => {
      log.session.error({ session: this.id }, messageOf(error));
    });
  }

  // -- audience --------------------------------------------------------------------------------------------------

  notify(notification: Notification): void {
    this.clients.notify(notification);
  }

  outlet(capability: string | undefined): Outlet | undefined {
    return this.clients.outlet(capability);
  }

  isSubscribed(server: string, uri: unknown): boolean {
    return this.settings.subscriptions?.some((one) => one.server === server && one.uri === uri) ?? false;
  }
}

function isFailure(outcome: Outcome): boolean {
  return 'error' in outcome || (isFields(outcome.result) && outcome.result.isError === true);
}
