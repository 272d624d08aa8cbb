import type { Clock } from '../clock.js';
import type { ServerConfig } from '../config/schema.js';
import { ProxyError, asProxyError, messageOf } from '../errors.js';
import { log } from '../logger.js';
import { PROXY_PROFILE, type ClientProfile } from '../protocol/client.js';
import { isFields, type Fields, type Notification, type Outcome } from '../protocol/messages.js';
import type { SessionRow, SessionState, Store } from '../store/types.js';
import type { Attachment } from './attachment.js';
import { describedKey, type Binding, type Starter } from './binding.js';
import { ownerOf, type Bindings, type User } from './bindings.js';
import type { Exchange, Outlet } from './exchange.js';
import { Dispatcher, type Party, type Settings } from './dispatch.js';
import { asToolResult, type Loss, type SessionMeta } from './loss.js';
import type { Router } from './router.js';

/** Events kept of a session. */
export const EVENTS_KEPT = 1000;

/** How stale the stored time of last use may be, milliseconds: a write for each call would buy nothing. */
const TOUCH_EVERY = 5000;

/** Why an idle session's servers are stopped; completes "the server …". */
export const IDLE = 'was stopped because the session had been idle';

/** Which state may follow which. */
const NEXT: Readonly<Record<SessionState, readonly SessionState[]>> = {
  idle: ['active', 'error', 'closed'],
  active: ['paused', 'error', 'closed'],
  paused: ['active', 'error', 'closed'],
  error: ['active', 'paused', 'closed'],
  closed: [],
};

export interface SessionOptions {
  store: Store;
  clock: Clock;
  instance: string;
  servers: readonly ServerConfig[];
  router: Router;
  bindings: Bindings;
  /** The folder of that owner, made when it is missing. */
  folder: (owner: string) => string;
  /** Called before a session without servers starts one. @throws {ProxyError} SESSION_LIMIT */
  admit: (session: Session) => Promise<void>;
  /** Called when it has none any more. */
  retire: (session: Session) => void;
  /** Idle time after which it is paused, milliseconds. */
  ttl: number;
}

/** The durable thing: what a client calls its own, whatever becomes of connections and processes. */
export class Session implements User, Party {
  readonly id: string;
  readonly name: string | null;
  readonly principal: string;
  readonly temporary: boolean;
  readonly attachments = new Map<string, Attachment>();
  state: SessionState;
  lastActiveAt: number;
  inFlight = 0;
  readonly #options: SessionOptions;
  readonly #bindings = new Map<string, Binding>();
  readonly #failed = new Set<string>();
  readonly #seen: Map<string, number>;
  readonly settings: Settings;
  readonly #dispatcher: Dispatcher;
  #touchedAt: number;
  #lastEvent: number | undefined;

  constructor(row: SessionRow, options: SessionOptions) {
    this.#options = options;
    this.id = row.id;
    this.name = row.name;
    this.principal = row.principal;
    this.temporary = row.temporary;
    this.state = row.state;
    this.lastActiveAt = row.lastActiveAt;
    this.#touchedAt = row.lastActiveAt;
    this.#dispatcher = new Dispatcher(this, options.servers, options.router);
    this.settings = JSON.parse(row.settings) as Settings;
    this.#seen = new Map(
      options.store.bindings.seen(row.id).map(({ server, generation }) => [server, generation]),
    );
  }

  // -- requests --------------------------------------------------------------------------------------------------

  /**
   * Carries out one client request; the response is sent once `exchange.record` is stored.
   * @throws {ProxyError} CALL_CANCELLED alone; every other failure is an outcome
   */
  async request(exchange: Exchange): Promise<Outcome> {
    const { method } = exchange;
    const begun = this.#options.clock.now();
    const isTool = method === 'tools/call';
    // The sweep comes now and then; the deadline holds always.
    const expired = this.state === 'active' && begun >= this.expiresAt;
    this.#enter();
    try {
      if (expired) await this.pause(IDLE);
      const outcome = await this.#dispatcher.dispatch(exchange);
      if (isTool)
        this.#record(exchange, 'call', {
          tool: exchange.params?.name,
          ok: !isFailure(outcome),
          ms: this.#since(begun),
        });
      return outcome;
    } catch (thrown) {
      const error = asProxyError(thrown);
      if (error.code === 'INTERNAL') log.session.error({ session: this.id, err: thrown }, error.message);
      if (isTool)
        this.#record(exchange, 'call', {
          tool: exchange.params?.name,
          ok: false,
          error: error.code,
          ms: this.#since(begun),
        });
      if (error.code === 'CALL_CANCELLED') throw error;
      // An unknown tool is the caller's mistake and a protocol error; what befell a known one is for the model to read.
      return isTool && error.code !== 'TOOL_NOT_FOUND' ? asToolResult(error) : { error: error.toJsonRpc() };
    } finally {
      this.#leave();
    }
  }

  /** A notification of a client that concerns its servers. */
  notification(method: string, params: Fields | undefined): void {
    this.lastActiveAt = this.#options.clock.now();
    for (const binding of this.#bindings.values()) binding.notify(method, params);
  }

  /** The answer to `initialize`, but for the protocol version. */
  describe(): Fields {
    const { servers, store, router } = this.#options;
    return router.describe(
      servers.map((config) => {
        const live = this.#bindings.get(config.name)?.description;
        const stored = live ? undefined : store.servers.description(describedKey(config));
        return live ?? (stored === undefined ? undefined : (JSON.parse(stored) as Fields));
      }),
    );
  }

  /** Whether every server's description is known, so that `describe` presumes nothing. */
  get described(): boolean {
    const { servers, store } = this.#options;
    return servers.every((config) => store.servers.description(describedKey(config)) !== undefined);
  }

  /** Starts what is not running; failures are logged and met again by the request that needs the server. */
  async start(client: ClientProfile): Promise<void> {
    await Promise.all(
      this.#options.servers.map((config) =>
        this.use(config, client, async () => {}).catch((error: unknown) =>
          log.session.warn({ session: this.id, server: config.name }, messageOf(error)),
        ),
      ),
    );
  }

  // -- bindings --------------------------------------------------------------------------------------------------

  bindings(): Iterable<Binding> {
    return this.#bindings.values();
  }

  async use<T>(
    config: ServerConfig,
    client: ClientProfile,
    job: (binding: Binding) => Promise<T>,
  ): Promise<T> {
    const { bindings, admit } = this.#options;
    if (this.state === 'closed')
      throw new ProxyError('SESSION_CLOSED', `Session ${this.id} is closed. Start a new one.`);
    if (this.state !== 'active') await admit(this);
    const binding = bindings.acquire(this, config, this.#bindings);
    try {
      if (!binding.live) await this.#startServer(binding, client);
      return await job(binding);
    } finally {
      if (config.scope === 'call') await binding.release('was stopped after the call');
    }
  }

  async #startServer(binding: Binding, client: ClientProfile): Promise<void> {
    const { name, scope } = binding.config;
    try {
      await binding.ready(this.#starter(binding.config, client));
      this.#failed.delete(name);
      if (this.#failed.size === 0) this.#setState('active');
    } catch (error) {
      // Only the session's own server puts it in error: others are not its to recover.
      if (scope === 'session') {
        this.#failed.add(name);
        this.#setState('error', messageOf(error));
      }
      throw error;
    }
  }

  #starter(config: ServerConfig, client: ClientProfile): Starter {
    const owner = ownerOf(config, this);
    const own = owner === this.id;
    return {
      context: {
        client: config.scope === 'shared' ? PROXY_PROFILE : client,
        variables: {
          'session.dir': this.#options.folder(owner),
          'session.id': owner,
          'session.name': own ? (this.name ?? this.id) : owner,
        },
      },
      prepare: (binding) => this.#prepare(binding),
    };
  }

  async #prepare(binding: Binding): Promise<void> {
    const { logLevel, subscriptions = [] } = this.settings;
    const told: Promise<Outcome>[] = [];
    if (logLevel !== undefined && binding.config.scope === 'session' && binding.offers('logging')) {
      told.push(binding.call('logging/setLevel', { level: logLevel }));
    }
    for (const { server, uri } of subscriptions) {
      if (server === binding.config.name) told.push(binding.call('resources/subscribe', { uri }));
    }
    for (const outcome of await Promise.allSettled(told)) {
      if (outcome.status === 'rejected') log.session.warn({ session: this.id }, messageOf(outcome.reason));
    }
  }

  see({ config: { name, scope }, generation, lastEnd }: Binding): Loss | undefined {
    const before = this.#seen.get(name);
    if (scope === 'call' || before === generation) return undefined;
    this.#seen.set(name, generation);
    this.#write(() => this.#options.store.bindings.see(this.id, name, generation));
    if (before === undefined) return undefined;
    const reason = lastEnd ?? 'ended';
    this.event('lost', { server: name, reason, generation });
    return { server: name, reason };
  }

  // -- life ------------------------------------------------------------------------------------------------------

  /** Stops the session's servers and keeps everything else. */
  async pause(reason: string): Promise<void> {
    await this.#options.bindings.release(this, this.#bindings, reason);
    this.#options.retire(this);
    if (this.state === 'active' || this.state === 'error') this.#setState('paused', reason);
  }

  /** Ends the session for good. */
  async close(reason: string): Promise<void> {
    if (this.state === 'closed') return;
    this.#setState('closed', reason);
    await this.#options.bindings.release(this, this.#bindings, reason);
    this.#options.retire(this);
  }

  /** When the session is due to be paused; a request under way holds it. */
  get expiresAt(): number {
    return this.inFlight > 0 ? Infinity : this.lastActiveAt + this.#options.ttl;
  }

  event(type: string, data: Fields): void {
    this.#write(this.#append(type, data));
  }

  /** A write that appends to the session's history. A closed session takes no more. */
  #append(type: string, data: Fields): () => void {
    const { store, clock } = this.#options;
    if (this.state === 'closed') return () => {};
    this.#lastEvent ??= store.events.last(this.id, 1)[0]?.seq ?? 0;
    const event = { seq: ++this.#lastEvent, at: clock.now(), type, data: JSON.stringify(data) };
    return () => store.events.append(this.id, event, EVENTS_KEPT);
  }

  #setState(state: SessionState, reason?: string): void {
    if (this.state === state || !NEXT[this.state].includes(state)) return;
    const { store, clock, instance } = this.#options;
    this.event('state', { from: this.state, to: state, ...(reason === undefined ? {} : { reason }) });
    this.state = state;
    const holder = state === 'active' || state === 'error' ? instance : null;
    this.#write(() => {
      store.sessions.setState(this.id, state, holder, clock.now());
      store.sessions.touch(this.id, this.lastActiveAt);
    });
  }

  #enter(): void {
    this.inFlight += 1;
    this.lastActiveAt = this.#options.clock.now();
  }

  #leave(): void {
    this.inFlight -= 1;
    this.lastActiveAt = this.#options.clock.now();
  }

  #record(exchange: Exchange, type: string, data: Fields): void {
    const { store, clock } = this.#options;
    const now = clock.now();
    const touch = now - this.#touchedAt > TOUCH_EVERY;
    if (touch) this.#touchedAt = now;
    const append = this.#append(type, data);
    exchange.record = () => {
      append();
      if (touch) store.sessions.touch(this.id, now);
    };
  }

  #since(begun: number): number {
    return this.#options.clock.now() - begun;
  }

  meta(): SessionMeta {
    return { id: this.id, name: this.name, state: this.state, temporary: this.temporary };
  }

  /** What the session's servers are told again when they start anew. */
  remember(change: Settings): void {
    Object.assign(this.settings, change);
    const settings = JSON.stringify(this.settings);
    this.#write(() => this.#options.store.sessions.setSettings(this.id, settings));
  }

  #write(job: () => void): void {
    this.#options.store.write(job).catch((error: unknown) => {
      log.session.error({ session: this.id }, messageOf(error));
    });
  }

  // -- audience --------------------------------------------------------------------------------------------------

  notify(notification: Notification): void {
    for (const { outlet } of this.attachments.values()) outlet?.notify(notification);
  }

  outlet(capability: string | undefined): Outlet | undefined {
    return [...this.attachments.values()]
      .map(({ outlet }) => outlet)
      .findLast((outlet) => outlet && (capability === undefined || capability in outlet.client.capabilities));
  }

  isSubscribed(server: string, uri: unknown): boolean {
    return this.settings.subscriptions?.some((one) => one.server === server && one.uri === uri) ?? false;
  }
}

function isFailure(outcome: Outcome): boolean {
  return 'error' in outcome || (isFields(outcome.result) && outcome.result.isError === true);
}
