import type { Principal } from '../../src/auth/principal.js';
import { Catalog } from '../../src/catalog/catalog.js';
import { configSchema } from '../../src/config/schema.js';
import type { SessionsConfig } from '../../src/config/sessions.js';
import type { ConnectContext } from '../../src/downstream/types.js';
import type { ProxyError } from '../../src/errors.js';
import type { Fields, Id, Notification, Outcome } from '../../src/protocol/messages.js';
import { Attachments } from '../../src/session/attachments.js';
import { Exchange, type Asked, type Asking, type Outlet } from '../../src/session/exchange.js';
import { SessionManager } from '../../src/session/manager.js';
import type { Session } from '../../src/session/session.js';
import { openSqliteStore } from '../../src/store/sqlite.js';
import type { Store } from '../../src/store/types.js';
import { ManualClock } from './clock.js';
import { CAPABILITIES, FakeConnection, polite, type Manners } from './fake-server.js';
import { serverConfigs } from './servers.js';

export interface WorldOptions {
  /** As in a config file; one server "one" unless they are given. */
  servers?: Record<string, Record<string, unknown>>;
  sessions?: Partial<SessionsConfig>;
  manners?: Manners;
  /** Of a world before this one. */
  store?: Store;
  clock?: ManualClock;
  instance?: string;
}

export const principal: Principal = { id: 'local', admin: false };

/** Sessions with everything real but servers and time. */
export class World {
  readonly clock: ManualClock;
  readonly store: Store;
  readonly manager: SessionManager;
  readonly attachments: Attachments;
  readonly router: Catalog;
  /** Every start of a server, in order. */
  readonly connections: FakeConnection[] = [];
  /** What a start waits for. */
  starting: (() => Promise<void>) | undefined;
  /** While set, starts fail with it. */
  broken: ProxyError | undefined;
  /** Starts that were asked for, also those that failed. */
  starts = 0;
  manners: Manners;
  /** What servers that start from now on say they can. */
  capabilities = CAPABILITIES;
  #started: (() => void)[] = [];

  constructor(options: WorldOptions = {}) {
    this.clock = options.clock ?? new ManualClock();
    this.store = options.store ?? openSqliteStore(':memory:');
    this.manners = options.manners ?? polite;
    const servers = serverConfigs(options.servers ?? { one: {} });
    const config = { ...configSchema.parse({}).sessions, ...options.sessions };
    this.router = new Catalog(servers, config.retention);
    this.manager = new SessionManager({
      store: this.store,
      clock: this.clock,
      instance: options.instance ?? 'this proxy',
      config,
      servers,
      router: this.router,
      random: () => 0,
      connect: async (config, context: ConnectContext) => {
        this.starts += 1;
        await this.starting?.();
        if (this.broken) throw this.broken;
        const number = this.of(config.name).length + 1;
        const connection = new FakeConnection(config, context, number, (request, on) =>
          this.manners(request, on),
        );
        connection.description.capabilities = this.capabilities;
        // No process is gone before the next commit.
        connection.leaving = () => this.committed();
        this.connections.push(connection);
        for (const heard of this.#started.splice(0)) heard();
        return connection;
      },
      folder: (owner) => `/folders/${owner}`,
      removeFolder: () => {},
    });
    this.attachments = new Attachments(this.manager, this.store, this.clock);
  }

  session(name?: string): Session {
    return name === undefined ? this.manager.create(principal) : this.manager.open(principal, name);
  }

  /** The starts of one server. */
  of(server: string): FakeConnection[] {
    return this.connections.filter(({ config }) => config.name === server);
  }

  /** The how-manieth start of all, which must have been. */
  connection(number = 1): FakeConnection {
    const connection = this.connections[number - 1];
    if (!connection) throw new Error(`there were ${this.connections.length} starts`);
    return connection;
  }

  /** The same, as soon as it has been. */
  async started(number = 1): Promise<FakeConnection> {
    while (this.connections.length < number)
      await new Promise<void>((resolve) => this.#started.push(resolve));
    return this.connection(number);
  }

  /** Resolves when everything asked for so far is stored. */
  committed(): Promise<void> {
    return this.store.write(() => {});
  }

  /** All servers that run. */
  get running(): FakeConnection[] {
    return this.connections.filter(({ isClosed }) => !isClosed);
  }

  [Symbol.dispose](): void {
    this.store.close();
  }
}

/** A client as the session sees it: hears everything, answers by hand. */
export class FakeClient implements Outlet {
  readonly client;
  readonly connected = true;
  readonly heard: Notification[] = [];
  readonly asked: (Asked & {
    answer: (outcome: Outcome) => void;
    progress: (params: Fields) => void;
    cancelled: Fields | undefined;
  })[] = [];
  #next: (() => void)[] = [];

  constructor(capabilities: Fields = {}) {
    this.client = {
      era: 'legacy' as const,
      protocolVersion: '2025-11-25' as const,
      capabilities,
      clientInfo: { name: 'test', version: '1' },
    };
  }

  notify(notification: Notification): void {
    this.heard.push(notification);
  }

  close(): void {}

  ask(asked: Asked, onprogress: (params: Fields) => void): Asking {
    let resolve: (outcome: Outcome) => void = () => {};
    const answer = new Promise<Outcome>((resolved) => (resolve = resolved));
    const question = {
      ...asked,
      answer: resolve,
      progress: onprogress,
      cancelled: undefined as Fields | undefined,
    };
    this.asked.push(question);
    for (const next of this.#next.splice(0)) next();
    return { answer, cancel: (params) => (question.cancelled = params) };
  }

  /** Resolves when it has been asked that often. */
  async wasAsked(times = 1): Promise<void> {
    while (this.asked.length < times) await new Promise<void>((resolve) => this.#next.push(resolve));
  }

  exchange(method: string, params?: Fields): Exchange {
    return new Exchange(method, params, this, principal.id);
  }

  /** A tool call on its way. */
  call(tool: string, args: Fields = {}, progressToken?: Id): Exchange {
    const meta = progressToken === undefined ? {} : { _meta: { progressToken } };
    return this.exchange('tools/call', { name: tool, arguments: args, ...meta });
  }
}

/** The text of a tool's result, or the error that came instead. */
export function said(outcome: Outcome): string {
  if ('error' in outcome) return `error ${outcome.error.code}: ${outcome.error.message}`;
  const { content } = outcome.result as { content?: { text?: string }[] };
  return (content ?? []).map((part) => part.text ?? '').join('\n');
}

/** What the result says was lost. */
export function lostIn(outcome: Outcome): unknown {
  if ('error' in outcome) return undefined;
  const meta = outcome.result._meta as Record<string, { lost?: unknown }> | undefined;
  return meta?.['mcp-session-proxy/session']?.lost;
}

/** Our own code of a failed tool call. */
export function codeOf(outcome: Outcome): unknown {
  if ('error' in outcome) return (outcome.error.data as Fields | undefined)?.code;
  return (outcome.result._meta as Fields | undefined)?.['mcp-session-proxy/error'];
}
