import { within } from '../clock.js';
import type { ServerConfig } from '../config/schema.js';
import type { Companions } from '../downstream/companions.js';
import type { ConnectContext, Connection, Description, Held } from '../downstream/types.js';
import { ProxyError, messageOf } from '../errors.js';
import { log } from '../logger.js';
import { PROXY_PROFILE } from '../protocol/client.js';
import type { Fields, Outcome } from '../protocol/messages.js';
import { Turns } from '../turns.js';
import { Calls } from './calls.js';
import { Checkpoints, type Restored } from './checkpoint.js';
import { Circuit, HEALTHY } from './circuit.js';
import type { Exchange, Inherited } from './exchange.js';
import type { BindingOptions, Starter } from './binding-options.js';
import { eraOfLast, labelOf, labelOfCompanion, rememberDescription, type Label } from './label.js';
import { leave, type Live } from './leave.js';
import { StateLost } from './loss.js';
import { Upkeep } from './upkeep.js';

/** How long a server may take to answer a ping, milliseconds. */
const PING_WAIT = 5000;

/**
 * A pinned connection to one server, started on first need and once, however many ask. Its generation grows when the
 * process or remote session behind it is replaced: then whatever state the server kept is gone, and sessions are told.
 */
export class Binding {
  readonly config: ServerConfig;
  readonly owner: string;
  generation: number;
  /** Why the generation before this one ended; completes "the server …". */
  lastEnd: string | undefined;
  /** What this generation was given of the one before. */
  restored: Restored | undefined;
  readonly #options: BindingOptions;
  #live: Live | undefined;
  #starting: Promise<void> | undefined;
  #stopping: Promise<void> | undefined;
  /** Takes back a start under way. */
  #unwanted = new AbortController();
  readonly #turns: Turns;
  #usedAt = 0;
  readonly #checkpoints: Checkpoints;
  readonly #upkeep: Upkeep;
  /** Of this connection alone: who makes a server exit by calls shuts nobody else out. */
  readonly #circuit: Circuit;
  /** What runs beside the server, where its config has such things; of the binding before it, where it takes its place. */
  readonly companions: Companions | undefined;
  /** Why the last generation was given up, when calls that wait for their turn are to get the next one. */
  #givenUp: string | undefined;

  constructor(options: BindingOptions) {
    this.#options = options;
    this.config = options.config;
    this.owner = options.owner;
    const row = options.store.bindings.get(options.owner, options.config.name);
    this.generation = row?.generation ?? 0;
    this.#turns = new Turns(options.config.concurrency);
    this.#checkpoints = new Checkpoints(options);
    this.#circuit = new Circuit({ ...options, healthy: HEALTHY });
    this.companions = options.companions;
    const { config, clock, memoryOf } = options;
    this.#upkeep = new Upkeep({
      clock,
      config,
      memory: () => (this.pid === undefined ? undefined : memoryOf?.(this.pid)),
      busy: () => !this.live || this.#turns.busy || (this.#live?.calls.size ?? 0) > 0,
      save: () => this.save(),
      replace: (reason) => void this.#giveUp(this.#live, reason, true),
    });
    this.lastEnd = row ? (row.ended ?? 'ended with the proxy, which was restarted') : undefined;
  }

  /** Runs, and has its state back. */
  get live(): boolean {
    return this.#live !== undefined && !this.starting;
  }

  /** Of a live server what it said of itself. */
  get description(): Description | undefined {
    return this.#live?.connection.description;
  }

  /** Of a local server that runs. */
  get pid(): number | undefined {
    return this.#live?.connection.pid;
  }

  get starting(): boolean {
    return this.#starting !== undefined;
  }

  offers(capability: string): boolean {
    const capabilities = this.description?.capabilities;
    return typeof capabilities === 'object' && capabilities !== null && capability in capabilities;
  }

  /**
   * Starts the server unless it runs.
   * @throws {ProxyError} SERVER_UNAVAILABLE, CIRCUIT_OPEN, RESTORE_FAILED
   */
  async ready(starter: Starter): Promise<void> {
    if (this.live) return;
    this.#starting ??= this.#start(starter).finally(() => (this.#starting = undefined));
    await this.#starting;
  }

  /** Asks a server that was not used for `healthCheck` whether it is still there; one that is not is stopped. */
  async check(): Promise<void> {
    const { healthCheck } = this.config;
    if (healthCheck !== undefined && this.#options.clock.steady() - this.#usedAt >= healthCheck)
      await this.ping();
  }

  /** Asks a server that runs whether it is still there; one that is not is stopped. */
  async ping(): Promise<boolean> {
    const live = this.#live;
    if (!live) return false;
    // Whatever it answers, it is there.
    const answer = this.#send('ping', undefined).catch(() => undefined);
    const well = (await within(this.#options.clock, PING_WAIT, answer)) !== undefined;
    if (!well && this.#live === live) await this.stop('did not answer a ping', true);
    return well;
  }

  /**
   * Sends a request to the running server; with `concurrency`, tool calls wait for their turn.
   * @throws {ProxyError} as `Calls.call`, and StateLost
   */
  async call(method: string, params: Fields | undefined, exchange?: Exchange): Promise<Outcome> {
    if (method !== 'tools/call') return this.#send(method, params, exchange);
    return this.#inTurn(() => this.#callTool(params, exchange));
  }

  async #inTurn<T>(job: () => Promise<T>): Promise<T> {
    try {
      return await this.#turns.take(job);
    } finally {
      this.#upkeep.used();
    }
  }

  notify(method: string, params: Fields | undefined): void {
    const message = { jsonrpc: '2.0' as const, method, ...(params ? { params } : {}) };
    this.#live?.connection.send(message).catch((error: Error) => log.session.debug(error.message));
  }

  /** Stops the server and what runs beside it. */
  async release(reason: string, force = false): Promise<void> {
    this.companions?.spoil();
    await this.stop(reason, force);
    await this.companions?.release(force);
  }

  /**
   * Stops the server.
   * @param reason completes "the server …" in what sessions are told later
   * @param force at once instead of in order
   */
  async stop(reason: string, force = false): Promise<void> {
    this.#unwanted.abort();
    // Without a connection yet, the start itself gives up.
    if (!this.#live) await this.#starting?.catch(() => {});
    const live = this.#live;
    if (!live) return this.#stopping;
    await this.#replace(live, reason, force, !this.starting && live.calls.size === 0);
    await this.#starting?.catch(() => {});
  }

  /** @param save makes a last checkpoint */
  #replace(live: Live, reason: string, force: boolean, save: boolean): Promise<void> {
    // Whoever takes the server's place reads from the store why it ended.
    const written = this.#end(live, reason, false);
    this.#stopping = this.#leave(live, force, save)
      .then(() => written)
      .finally(() => (this.#stopping = undefined));
    return this.#stopping;
  }

  async #leave(live: Live, force: boolean, save: boolean): Promise<void> {
    if (force) return live.connection.close(true);
    if (save && this.#checkpoints.dirty) await this.#checkpoints.save(true);
    // Its calls close what stands beside it, and that goes on.
    const steps = this.companions?.staying ? [] : this.config.stop;
    await leave(live, this.config.name, steps, this.#options.clock);
  }

  /** One tool call with what belongs to it: is the state there, did the call lose it, is it to be saved. */
  async #callTool(params: Fields | undefined, exchange?: Exchange): Promise<Outcome> {
    const live = this.#live;
    const lost = await this.#checkpoints.probe().catch((error: Error) => {
      log.session.debug({ server: this.config.name }, error.message);
      return undefined; // the call itself meets what the probe met
    });
    if (lost !== undefined) throw await this.#lostState(live, lost);
    const outcome = await this.#send('tools/call', params, exchange);
    const told = this.#checkpoints.lossIn(outcome);
    if (live) this.#circuit.served(this.#options.clock.steady() - live.startedAt);
    if (told !== undefined) throw await this.#lostState(live, told, outcome);
    await this.#checkpoints.after(params, outcome);
    return outcome;
  }

  /** A server without its state is as good as none: the next call starts another, and restores. */
  async #lostState(live: Live | undefined, how: string, outcome?: Outcome): Promise<StateLost> {
    const reason = `lost its state (${how})`;
    this.companions?.spoil();
    await this.#giveUp(live, reason, false);
    return new StateLost(this.config.name, reason, outcome);
  }

  /** Calls that wait for their turn get the next generation. */
  async #giveUp(live: Live | undefined, reason: string, save: boolean): Promise<void> {
    if (!live || live !== this.#live) return;
    this.#givenUp = reason;
    log.session.info({ server: this.config.name, owner: this.owner }, `The server ${reason}.`);
    await this.#replace(live, reason, false, save);
  }

  /** The server has lost what it needs beside it. */
  #alone(reason: string): void {
    this.#fallen(this.#live, reason);
    void this.#giveUp(this.#live, reason, false);
  }

  /** Saves what calls left unsaved. */
  async save(): Promise<void> {
    await this.#inTurn(async () => {
      if (this.live && this.#checkpoints.dirty) await this.#checkpoints.save(true);
    });
  }

  /**
   * Goes on with a server that an earlier process started or spoke to, in the same generation, or with a companion.
   * @param sent the requests that are with it
   * @throws {ProxyError} SERVER_UNAVAILABLE
   */
  async adopt(held: Held, { description, variables, companion }: Label, sent: Inherited[]): Promise<void> {
    if (companion !== undefined && 'process' in held)
      return this.companions?.adopt(companion, held.process, variables);
    if (this.live) return;
    this.companions?.check();
    const { connect, config } = this.#options;
    const context = { client: PROXY_PROFILE, variables, held: { ...held, description, expected: sent } };
    const connection = await connect(config, context);
    this.#use(connection, variables, sent);
    this.#upkeep.begin();
    log.session.info(
      { server: config.name, owner: this.owner, generation: this.generation, requests: sent.length },
      'The server goes on under a new worker.',
    );
  }

  #send(method: string, params: Fields | undefined, exchange?: Exchange): Promise<Outcome> {
    this.#usedAt = this.#options.clock.steady();
    if (this.#live) return this.#live.calls.call(method, params, exchange);
    if (this.#givenUp !== undefined) return Promise.reject(new StateLost(this.config.name, this.#givenUp));
    const text = `Server "${this.config.name}" ${this.lastEnd ?? 'is not running'}; the request was not sent. Try again.`;
    return Promise.reject(new ProxyError('SERVER_UNAVAILABLE', text));
  }

  async #start({ context, prepare }: Starter): Promise<void> {
    const { store, clock, config, owner, circuit } = this.#options;
    const { signal } = (this.#unwanted = new AbortController());
    for (const one of [circuit, this.#circuit]) await one.admit(config.name, signal);
    // Two processes on one profile folder would fight over its lock.
    await this.#stopping;
    const begun = clock.steady();
    const { connection, variables, kept } = await this.#connect(context, signal);
    circuit.served(0);
    if (!connection.sessionless || this.generation === 0) this.generation += 1;
    try {
      this.companions?.check();
      await store.write(() => {
        store.bindings.put({ owner, server: config.name, generation: this.generation, ended: null });
        rememberDescription(store, config, connection.description, clock.now());
      });
    } catch (error) {
      await connection.close();
      throw error;
    }
    const live = this.#use(connection, variables);
    log.session.info(
      { server: config.name, owner, generation: this.generation, ms: Math.round(clock.steady() - begun) },
      'Server started.',
    );
    await prepare(this);
    await this.#restore(live, kept);
    connection.label(labelOf(this, connection.description, variables));
    if (this.#live === live) this.#upkeep.begin();
  }

  #use(connection: Connection, variables: Label['variables'], expected?: Inherited[]): Live {
    const { store, clock, config } = this.#options;
    const root = config.roots === 'session' ? variables['session.dir'] : undefined;
    const nextId = () => store.nextId();
    const calls = new Calls({ ...this.#options, connection, nextId, root, expected: expected ?? [] });
    this.#checkpoints.begin(
      (method, params) => calls.call(method, params),
      variables,
      expected !== undefined,
    );
    const live = { connection, calls, startedAt: clock.steady() };
    this.#live = live;
    this.#givenUp = undefined;
    this.#usedAt = clock.steady();
    if (this.companions)
      this.companions.onlost = (how) => this.#alone(`was stopped because its companion ${how}`);
    connection.listen({
      onmessage: (message, cause) => calls.receive(message, cause),
      onfailed: (id, error) => calls.failed(id, error),
      onclose: (reason) => this.#lost(live, reason),
    });
    return live;
  }

  async #connect(context: ConnectContext, signal: AbortSignal) {
    const { store, connect, config, circuit } = this.#options;
    const label = (name: string, own: Label['variables']) => labelOfCompanion(this, name, own);
    try {
      const company = await this.companions?.ready(context.variables, label, signal);
      const { variables, kept } = company ?? { variables: context.variables, kept: undefined };
      const given = { ...context, variables, known: eraOfLast(store, config), signal };
      return { connection: await connect(config, given), variables, kept };
    } catch (error) {
      const reason = `could not be started: ${messageOf(error)}`;
      if (!signal.aborted) for (const one of [circuit, this.#circuit]) one.failed(reason);
      throw error;
    }
  }

  /** @param kept companions that hold the state, which is then still there */
  async #restore(live: Live, kept: string[] | undefined): Promise<void> {
    this.restored = undefined;
    try {
      if (this.generation > 1) this.restored = await this.#checkpoints.restore(kept);
    } catch (error) {
      this.companions?.spoil();
      if (this.#live === live) await this.#replace(live, 'could not be given its state back', true, false);
      throw error;
    }
    if (!this.restored) return;
    log.session.info(
      { server: this.config.name, owner: this.owner },
      'The state of the server was restored.',
    );
  }

  /** The server left by itself. */
  #lost(live: Live, reason: string): void {
    if (this.#live !== live) {
      live.calls.end(new ProxyError('SERVER_UNAVAILABLE', `Server "${this.config.name}" ${reason}.`));
      return;
    }
    log.session.warn({ server: this.config.name, owner: this.owner }, `The server ${reason}.`);
    this.#fallen(live, reason);
    void this.#end(live, reason, true);
    void live.connection.close();
  }

  #fallen(live: Live | undefined, reason: string): void {
    if (live) this.#circuit.failed(reason, this.#options.clock.steady() - live.startedAt);
  }

  /** @param died by itself, and not because it was stopped */
  #end(live: Live, reason: string, died: boolean): Promise<void> {
    const { store, config, owner } = this.#options;
    this.#live = undefined;
    this.#upkeep.end();
    this.lastEnd = reason;
    const text =
      `Server "${config.name}" ${reason} while the request was with it: the outcome is unknown. ` +
      `Look before you repeat it.${live.connection.diagnosis()}`;
    live.calls.end(new ProxyError('OUTCOME_UNKNOWN', text, { details: { died } }));
    return store
      .write(() =>
        store.bindings.put({ owner, server: config.name, generation: this.generation, ended: reason }),
      )
      .catch((error: Error) => log.session.error(error.message));
  }
}
