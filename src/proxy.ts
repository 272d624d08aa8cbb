import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { localDoor, type Door } from './admin/door.js';
import { LOCAL_PRINCIPAL, type Principal } from './auth/principal.js';
import { Catalog } from './catalog/catalog.js';
import { systemClock, type Clock } from './clock.js';
import type { Config } from './config/schema.js';
import { endHeld } from './downstream/connect.js';
import { driversOf } from './downstream/drivers.js';
import type { Spawn } from './downstream/process.js';
import { remoteSessions, type Remember } from './downstream/remote-session.js';
import { clearLeftovers, registerInstance, succeed, watchLeftovers } from './leftovers.js';
import { messageOf } from './errors.js';
import { HttpSide, type Bind } from './http.js';
import { log } from './logger.js';
import { toLegacyResult } from './protocol/translate.js';
import { Adoption, answerAbandoned, type HeldServer } from './session/adoption.js';
import { Attachments } from './session/attachments.js';
import { SessionContents } from './session/contents.js';
import { Correlator } from './session/correlate.js';
import { Finder } from './session/finder.js';
import { Hooks, type Hook } from './session/hooks.js';
import { newSessionId } from './session/ids.js';
import { SessionManager } from './session/manager.js';
import { SessionOperations } from './session/operations.js';
import { ModelTools } from './session/tools.js';
import { openSqliteStore } from './store/sqlite.js';
import type { ProcessMark, Store } from './store/types.js';
import { HintReader } from './upstream/hints.js';
import type { Routes } from './upstream/listener.js';
import type { IntroduceOptions } from './upstream/introduce.js';
import { ModernRequests } from './upstream/modern.js';
import { StdioEndpoint } from './upstream/stdio.js';

/** Requests under way when the proxy stops get this long, milliseconds. */
const DRAIN_GRACE = 10_000;
const DRAIN_POLL = 50;

/** A request under way when another worker takes over gets this long; longer ones that one finishes. Milliseconds. */
const LEAVE_GRACE = 1000;

/** What a keeper lends the proxy it has started, so that the next one can go on where this one ends. */
export interface Succession {
  /** The keeper's process: its end is the end of everything it holds. */
  keeper: number;
  spawn: Spawn;
  bind: Bind;
  remember: Remember;
  /** What the worker before this one left running, and what it had remembered. */
  held: HeldServer[];
  remembered: ReadonlyMap<string, string>;
}

/** What a proxy is made of. */
export interface ProxyOptions {
  config: Config;
  clock?: Clock;
  succession?: Succession;
  /** What a program lays around calls, events and looks at sessions; the first is the outermost. */
  hooks?: readonly Hook[] | undefined;
}

/** The composition root: the only place that picks drivers. */
export class SessionProxy {
  readonly #config: Config;
  readonly #clock: Clock;
  readonly #store: Store;
  readonly #instance: string;
  readonly #catalog: Catalog;
  readonly #modern: ModernRequests;
  readonly #manager: SessionManager;
  readonly #attachments: Attachments;
  readonly #correlator: Correlator;
  readonly #sessions: SessionOperations;
  readonly #contents: SessionContents;
  readonly #succession: Succession | undefined;
  /** Sessions of the worker before this one. */
  readonly #inherited: string[];
  #http: HttpSide | undefined;
  #onPort = false;
  #stopping: Promise<void> | undefined;
  #closed = false;
  readonly #stopWatch: () => void;
  /** Ends what is not to outlive the process. */
  #forget: () => void = () => {};

  /** @throws {ProxyError} STORE_FAILED */
  constructor({ config, clock = systemClock, succession, hooks: given }: ProxyOptions) {
    const hooks = new Hooks(given);
    this.#config = config;
    this.#clock = clock;
    this.#store = openSqliteStore(config.store);
    this.#instance = newSessionId();
    clearLeftovers(this.#store, clock.now());
    this.#succession = succession;
    registerInstance(this.#store, this.#instance, clock.now(), succession?.keeper);
    this.#inherited = succession ? succeed(this.#store, this.#instance, succession.keeper) : [];
    const folders = foldersBeside(config.store);
    if (config.store === ':memory:') this.#forget = () => rmSync(folders, { recursive: true, force: true });
    this.#catalog = new Catalog(config.servers, config.sessions.retention);
    this.#modern = new ModernRequests(clock, this.#store, succession?.remember);
    this.#manager = new SessionManager({
      store: this.#store,
      clock,
      instance: this.#instance,
      config: config.sessions,
      hooks,
      servers: config.servers,
      router: this.#catalog,
      ...driversOf(clock, this.#register, succession),
      succeeds: succession !== undefined,
      remember: succession?.remember,
      folder: (owner) => {
        const folder = join(folders, owner);
        mkdirSync(folder, { recursive: true, mode: 0o700 });
        return folder;
      },
      removeFolder: (owner) => rmSync(join(folders, owner), { recursive: true, force: true }),
    });
    this.#attachments = new Attachments(this.#manager, this.#store, clock);
    const finder = new Finder(this.#manager);
    this.#correlator = new Correlator({
      manager: this.#manager,
      attachments: this.#attachments,
      finder,
      store: this.#store,
      router: this.#catalog,
      unidentified: config.sessions.unidentified,
    });
    this.#sessions = new SessionOperations(this.#manager, finder, hooks);
    this.#contents = new SessionContents(this.#manager, finder);
    this.#stopWatch = watchLeftovers(this.#store, clock, () => {
      answerAbandoned(this.#manager.outboxes);
      this.#manager.answers.left();
    });
    const handles = config.servers.some((server) => server.handles !== 'off');
    if (config.sessions.tools || handles) {
      const offered = { all: config.sessions.tools, handles };
      this.#manager.own = new ModelTools(this.#sessions, this.#contents, offered);
    }
  }

  /** Goes on where the worker before this one ended; before anybody is served. */
  async takeOver(): Promise<void> {
    if (!this.#succession) return;
    const { held, remember, remembered } = this.#succession;
    const adoption = new Adoption({
      store: this.#store,
      manager: this.#manager,
      attachments: this.#attachments,
      remembered,
      servers: this.#config.servers,
      end: (one, config) => endHeld(one, config, this.#clock, this.#register, remember),
      readable: toLegacyResult,
    });
    const left = this.#modern.inherit(remembered);
    await adoption.run(this.#inherited, [...held, ...remoteSessions(remembered)], left);
  }

  /**
   * Leaves everything to the worker that comes next: servers and sessions go on, streams break and are taken up again.
   * @param release stops reading what servers say
   */
  async handOver(release: () => Promise<void>): Promise<void> {
    this.#http?.leave();
    await this.#settle(LEAVE_GRACE);
    await release();
    await this.#stored();
    // What was just answered is on its way to the sockets.
    await new Promise<void>((resolve) => this.#clock.after(DRAIN_POLL, resolve));
    await this.#http?.close();
    this.#stopWatch();
    this.#store.close();
    this.#closed = true;
  }

  /** What a principal can do with sessions. */
  door(who: Principal = LOCAL_PRINCIPAL): Door {
    const servers = this.#config.servers.map(({ name, kind, scope }) => ({ name, kind, scope }));
    return localDoor(this.#sessions, this.#contents, servers, who, () => this.#stored());
  }

  /**
   * Serves HTTP on the port that the config names.
   * @returns the URL of the endpoint
   * @throws {ProxyError} PORT_IN_USE, CONFIG_INVALID
   */
  async listen(): Promise<string> {
    const { url, endpoint } = await this.#httpSide().listen();
    this.#onPort = true;
    this.#store.processes.setUrl(this.#instance, url);
    return endpoint;
  }

  /**
   * Serves HTTP on a socket of this machine.
   * @param more routes that are offered there alone
   * @throws as `net.Server.listen`
   */
  async listenLocally(path: string, more: Routes): Promise<void> {
    await this.#httpSide().listenLocally(path, more);
    if (!this.#onPort) this.#store.processes.setUrl(this.#instance, `unix:${path}`);
  }

  #httpSide(): HttpSide {
    return (this.#http ??= new HttpSide({
      ...this.#introduction(),
      config: this.#config,
      store: this.#store,
      instance: this.#instance,
      outboxes: this.#manager.outboxes,
      answers: this.#manager.answers,
      succeeded: this.#succession !== undefined,
      modern: { requests: this.#modern, paramHeaders: (tool) => this.#catalog.paramHeaders(tool) },
      door: (who) => this.door(who),
      bind: this.#succession?.bind,
    }));
  }

  /** What every edge needs to tell clients and their sessions. */
  #introduction(): IntroduceOptions {
    return {
      correlator: this.#correlator,
      attachments: this.#attachments,
      hints: new HintReader(this.#config.hints),
    };
  }

  /** Serves one client on a pipe; resolves when it has closed its end. */
  serveStdio(input: Readable, output: Writable, session?: string): Promise<void> {
    const endpoint = new StdioEndpoint({
      modern: this.#modern,
      ...this.#introduction(),
      store: this.#store,
      input,
      output,
      maxMessage: this.#config.listen.maxBody,
      ...(session === undefined ? {} : { session }),
    });
    return endpoint.serve();
  }

  /** Takes no more requests, waits for those under way, pauses all sessions and closes the store. Idempotent. */
  stop(): Promise<void> {
    if (!this.#stopping) {
      // The clock's timers let the process end; this end is to be waited for.
      const hold = setInterval(() => {}, DRAIN_GRACE);
      this.#stopping = this.#stop().finally(() => clearInterval(hold));
    }
    return this.#stopping;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  /** Waits for requests under way, so many milliseconds at most. */
  async #settle(grace: number): Promise<void> {
    // By a timer: a clock that is set meanwhile makes it neither shorter nor longer.
    let over = false;
    const stopTimer = this.#clock.after(grace, () => (over = true));
    while (this.#manager.inFlight > 0 && !over)
      await new Promise<void>((resolve) => this.#clock.after(DRAIN_POLL, resolve));
    stopTimer();
  }

  readonly #register = {
    started: (mark: ProcessMark, marker: string) =>
      this.#write(() => this.#store.processes.addChild(this.#instance, mark, marker)),
    ended: (mark: ProcessMark) => this.#write(() => this.#store.processes.removeChild(mark)),
  };

  /** A failed note of a process costs a sweep later on, and nobody else anything now. */
  #write(job: () => void): void {
    this.#store.write(job).catch((error: unknown) => log.proxy.error(messageOf(error)));
  }

  /** Resolves when everything that was written so far is on disk; the end of the store saw to that too. */
  #stored(): Promise<void> {
    return this.#closed ? Promise.resolve() : this.#store.write(() => {});
  }

  async #stop(): Promise<void> {
    this.#http?.drain();
    this.#modern.close();
    await this.#settle(DRAIN_GRACE);
    this.#http?.endListening();
    await this.#manager.stop('was stopped with the proxy');
    this.#http?.endFollowing();
    // What was just answered is on its way to the sockets.
    await new Promise<void>((resolve) => this.#clock.after(DRAIN_POLL, resolve));
    await this.#http?.close();
    this.#stopWatch();
    this.#store.processes.removeInstance(this.#instance);
    this.#store.close();
    this.#closed = true;
    this.#forget();
    log.proxy.info('Stopped.');
  }
}

/** Folders of sessions stand beside the store, in a folder of its name. */
function foldersBeside(store: string): string {
  if (store === ':memory:') return mkdtempSync(join(tmpdir(), 'mcp-session-proxy-'));
  return store.replace(/\.[^./\\]+$/, '') + '.d';
}
