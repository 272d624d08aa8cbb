import type { ServerConfig } from '../config/schema.js';
import type { Held } from '../downstream/types.js';
import { ProxyError, messageOf } from '../errors.js';
import { log } from '../logger.js';
import { PROXY_PROFILE, type ClientProfile } from '../protocol/client.js';
import type { Fields, Outcome } from '../protocol/messages.js';
import type { SentRequest, Store } from '../store/types.js';
import type { Starter } from './binding-options.js';
import type { Binding } from './binding.js';
import { describedKey, type Label } from './label.js';
import { ownerOf, type Bindings, type User } from './bindings.js';
import type { Settings } from './dispatch.js';
import { restartedError, type Inherited } from './exchange.js';
import { Recovery, type RecoveryOptions } from './recovery.js';
import { withChange, withRoots } from './variants.js';

/** For a server that is to be started and no more. */
const nothing = () => Promise.resolve();

/** A session's connection to one server, as it is shown. */
export interface BindingInfo {
  /** Of this generation; a new one has another. */
  id: string;
  server: string;
  scope: ServerConfig['scope'];
  state: 'unbound' | 'connecting' | 'connected' | 'disconnected' | 'failed';
  generation: number;
  /** Of a local server that runs. */
  pid?: number;
  /** How many tools it has for clients, as it last listed them. */
  tools?: number;
  error?: string;
}

/** What `reinitialize` changes of a local server for one session. */
export interface ServerChange {
  args?: string[];
  /** Laid over the configured environment. Kept in memory alone: it may hold secrets. */
  env?: Record<string, string>;
}

/** The session, as its servers need it. */
export interface Holder extends User {
  readonly name: string | null;
  readonly settings: Settings;
  remember(change: Settings): void;
  /** About to start a server. @throws {ProxyError} SESSION_CLOSED, SESSION_LIMIT */
  admit(): Promise<void>;
  /** A server of the session is being used: it is not idle until the returned function is called. */
  hold(): () => void;
  /** All servers that were wanted run. */
  recovered(): void;
  failed(reason: string): void;
}

export interface ServersOptions extends RecoveryOptions {
  store: Store;
  servers: readonly ServerConfig[];
  bindings: Bindings;
  /** The folder of that owner, made when it is missing. */
  folder: (owner: string) => string;
}

/** One session's servers: which it has, started on first need, stopped, replaced, tried again. */
export class Servers {
  readonly #holder: Holder;
  readonly #options: ServersOptions;
  readonly #held = new Map<string, Binding>();
  /** Of scope call: they end with their call. */
  readonly #passing = new Set<Binding>();
  /** Those of an earlier process, by the requests that are with them. */
  readonly #inherited = new Map<number, Binding>();
  readonly #failed = new Map<string, string>();
  readonly #env = new Map<string, Record<string, string>>();
  /** Until one of them changes. */
  #configs: readonly ServerConfig[] | undefined;
  #client: ClientProfile = PROXY_PROFILE;
  readonly #recovery: Recovery;

  constructor(holder: Holder, options: ServersOptions) {
    this.#holder = holder;
    this.#options = options;
    this.#recovery = new Recovery(options, async (name) => {
      if (this.#failed.has(name)) await this.use(this.config(name), this.#client, nothing);
    });
  }

  /** Those the session has, in the order of the config, with what was changed for it. */
  configs(): readonly ServerConfig[] {
    const { servers, changes = {} } = this.#holder.settings;
    this.#configs ??= this.#options.servers
      .filter(({ name }) => servers?.includes(name) ?? true)
      .map((config) => withChange(config, changes[config.name]?.args, this.#env.get(config.name)));
    return this.#configs;
  }

  /** @throws {ProxyError} NOT_FOUND */
  config(name: string): ServerConfig {
    const config = this.configs().find((one) => one.name === name);
    if (config) return config;
    const names = this.configs().map((one) => one.name);
    throw new ProxyError(
      'NOT_FOUND',
      `This session has no server "${name}". It has ${names.join(', ') || 'none'}.`,
    );
  }

  /**
   * Goes on with a server of the session that an earlier process started, unless another session did so already.
   * @param expected the requests that are with it
   */
  async adopt(config: ServerConfig, held: Held, label: Label, expected: Inherited[]): Promise<void> {
    const binding = this.#options.bindings.acquire(this.#holder, config, this.#held);
    await binding.adopt(held, label, expected);
    if (config.scope === 'call') {
      this.#passing.add(binding);
      for (const { id } of expected) this.#inherited.set(id, binding);
    }
    this.#settle();
  }

  /** Bindings of the session's own. */
  held(): Iterable<Binding> {
    return this.#held.values();
  }

  /**
   * Runs `job` with the binding to a server, started before and, by its scope, stopped afterwards.
   * @param sent the request to take up, where an earlier process sent it
   */
  async use<T>(
    config: ServerConfig,
    client: ClientProfile,
    job: (binding: Binding) => Promise<T>,
    sent?: SentRequest,
  ): Promise<T> {
    const release = this.#holder.hold();
    try {
      await this.#holder.admit();
      return await this.#useAdmitted(config, client, job, sent);
    } finally {
      release();
    }
  }

  async #useAdmitted<T>(
    config: ServerConfig,
    client: ClientProfile,
    job: (binding: Binding) => Promise<T>,
    sent: SentRequest | undefined,
  ): Promise<T> {
    this.#client = client;
    const inherited = sent && this.#inherited.get(sent.id);
    const binding = inherited ?? this.#options.bindings.acquire(this.#holder, config, this.#held);
    if (config.scope === 'call') this.#passing.add(binding);
    try {
      await binding.check();
      if (binding.live) this.#settle();
      else if (sent) throw restartedError();
      else await this.#start(binding, client);
      return await job(binding);
    } finally {
      if (sent) this.#inherited.delete(sent.id);
      if (this.#passing.delete(binding)) await binding.release('was stopped after the call');
    }
  }

  /** Starts all servers, or fails with the first failure. @throws {ProxyError} SERVER_UNAVAILABLE */
  async startAll(): Promise<void> {
    const starts = this.configs().map((config) => this.use(config, this.#client, nothing));
    const failure = (await Promise.allSettled(starts)).find((start) => start.status === 'rejected');
    if (failure) throw failure.reason;
  }

  /** Starts servers that are not running; failures are logged and met again by the request that needs the server. */
  async start(client: ClientProfile = this.#client): Promise<void> {
    await Promise.allSettled(this.configs().map((config) => this.use(config, client, nothing)));
  }

  /** What a server said of itself, now or when it was last started; undefined when it never was. */
  description(config: ServerConfig): Fields | undefined {
    const live = this.#held.get(config.name)?.description;
    if (live) return live;
    const stored = this.#options.store.servers.description(describedKey(config));
    return stored === undefined ? undefined : (JSON.parse(stored) as Fields);
  }

  infos(): BindingInfo[] {
    return this.configs().map((config) => {
      const { name: server, scope } = config;
      const binding = this.#held.get(server);
      const row = this.#options.store.bindings.get(ownerOf(config, this.#holder), server);
      const generation = binding?.generation ?? row?.generation ?? 0;
      const error = this.#failed.get(server);
      const live = binding ? binding.live : row !== undefined && row.ended === null && scope !== 'session';
      const state = live
        ? 'connected'
        : binding?.starting
          ? 'connecting'
          : error
            ? 'failed'
            : generation > 0
              ? 'disconnected'
              : 'unbound';
      return {
        id: `${this.#holder.id}/${server}@${generation}`,
        server,
        scope,
        state,
        generation,
        ...(binding?.pid === undefined ? {} : { pid: binding.pid }),
        ...(error === undefined ? {} : { error }),
      };
    });
  }

  /** Replaces the processes of all servers that run, or that could not be started. */
  async restart(reason: string): Promise<void> {
    const names = new Set([...this.#held.keys(), ...this.#failed.keys()]);
    await this.release(reason);
    for (const config of this.configs()) {
      if (names.has(config.name)) await this.use(config, this.#client, nothing);
    }
  }

  /** Tries again what could not be started. @throws {ProxyError} SERVER_UNAVAILABLE */
  async recover(): Promise<void> {
    this.#recovery.stop();
    for (const name of [...this.#failed.keys()]) await this.use(this.config(name), this.#client, nothing);
  }

  /**
   * Replaces one server's process by one with other arguments or environment. The old one goes on if the new one cannot
   * be started.
   * @throws {ProxyError} NOT_FOUND, INVALID_PARAMS, SERVER_UNAVAILABLE
   */
  async reinitialize(name: string, change: ServerChange): Promise<{ old: BindingInfo; new: BindingInfo }> {
    const before = this.config(name);
    if (before.kind !== 'local' || before.scope !== 'session') {
      throw new ProxyError(
        'INVALID_PARAMS',
        `Only a local server of scope "session" can be changed for one session; "${name}" is none.`,
      );
    }
    await this.#holder.admit();
    const info = () => this.infos().find(({ server }) => server === name);
    const old = info();
    const env = change.env ? { ...this.#env.get(name), ...change.env } : this.#env.get(name);
    const replacement = this.#options.bindings.replace(
      this.#holder,
      withChange(before, change.args, env),
      this.#options.bindings.acquire(this.#holder, before, this.#held),
    );
    await replacement.ready(this.#starter(replacement.config, this.#client));
    const replaced = this.#held.get(name);
    this.#held.set(name, replacement);
    this.#failed.delete(name);
    if (env) this.#env.set(name, env);
    this.#configs = undefined;
    if (change.args)
      this.#remember({ changes: { ...this.#holder.settings.changes, [name]: { args: change.args } } });
    await replaced?.stop('was replaced by one with another configuration');
    this.#settle();
    const now = info();
    if (!old || !now) throw new ProxyError('NOT_FOUND', `This session has no server "${name}".`);
    return { old, new: now };
  }

  /** Starts a server unless it runs, and asks whether it is there. @throws {ProxyError} SERVER_UNAVAILABLE */
  ping(config: ServerConfig): Promise<boolean> {
    return this.use(config, this.#client, (binding) => binding.ping());
  }

  /** Adds one of the configured servers to a session that has only some, and starts it. */
  async bind(name: string, client: ClientProfile = this.#client): Promise<void> {
    const { servers } = this.#holder.settings;
    if (!this.#options.servers.some((config) => config.name === name)) this.config(name);
    if (servers && !servers.includes(name)) this.#remember({ servers: [...servers, name] });
    await this.use(this.config(name), client, nothing);
  }

  /** Takes a server away from the session, and stops it. */
  async unbind(name: string): Promise<void> {
    this.config(name);
    this.#remember({
      servers: this.configs()
        .map((config) => config.name)
        .filter((one) => one !== name),
    });
    const binding = this.#held.get(name);
    this.#held.delete(name);
    this.#failed.delete(name);
    await binding?.release('was taken away from the session');
    this.#settle();
  }

  async release(reason: string, force = false): Promise<void> {
    this.#recovery.stop();
    this.#failed.clear();
    const passing = [...this.#passing].map((binding) => binding.release(reason, force));
    await this.#options.bindings.release(this.#holder, this.#held, reason, force);
    await Promise.all(passing);
  }

  async #start(binding: Binding, client: ClientProfile): Promise<void> {
    const { name, scope } = binding.config;
    try {
      await binding.ready(this.#starter(binding.config, client));
      this.#failed.delete(name);
      this.#settle();
    } catch (error) {
      log.session.warn({ session: this.#holder.id, server: name }, messageOf(error));
      // Only the session's own server puts it in error, and none that was taken back while it started.
      // A server that starts and cannot be given its state back is tried again by calls, not by itself.
      const unrestored = error instanceof ProxyError && error.code === 'RESTORE_FAILED';
      if (!unrestored && scope === 'session' && this.#held.get(name) === binding) {
        if (!this.#failed.has(name)) this.#recovery.later(name);
        this.#failed.set(name, messageOf(error));
        this.#holder.failed(messageOf(error));
      }
      throw error;
    }
  }

  #remember(change: Settings): void {
    this.#holder.remember(change);
    this.#configs = undefined;
  }

  #settle(): void {
    if (this.#failed.size === 0) this.#holder.recovered();
  }

  #starter(config: ServerConfig, client: ClientProfile): Starter {
    const owner = ownerOf(config, this.#holder);
    const own = owner === this.#holder.id;
    return {
      context: {
        client: withRoots(config.scope === 'shared' ? PROXY_PROFILE : client, config.roots),
        variables: {
          'session.dir': this.#options.folder(owner),
          'session.id': owner,
          'session.name': own ? (this.#holder.name ?? this.#holder.id) : owner,
        },
      },
      prepare: (binding) => this.#prepare(binding),
    };
  }

  /** Tells a fresh server what the last one knew. */
  async #prepare(binding: Binding): Promise<void> {
    const { logLevel, subscriptions = [] } = this.#holder.settings;
    const told: Promise<Outcome>[] = [];
    if (logLevel !== undefined && binding.config.scope === 'session' && binding.offers('logging')) {
      told.push(binding.call('logging/setLevel', { level: logLevel }));
    }
    for (const { server, uri } of subscriptions) {
      if (server === binding.config.name) told.push(binding.call('resources/subscribe', { uri }));
    }
    for (const outcome of await Promise.allSettled(told)) {
      if (outcome.status === 'rejected')
        log.session.warn({ session: this.#holder.id }, messageOf(outcome.reason));
    }
  }
}
