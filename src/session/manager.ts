import type { Principal } from '../auth/principal.js';
import type { Clock } from '../clock.js';
import type { ServerConfig, SessionsConfig } from '../config/schema.js';
import { ProxyError, messageOf } from '../errors.js';
import { log } from '../logger.js';
import type { ClientProfile } from '../protocol/client.js';
import type { SessionRow, Store } from '../store/types.js';
import { Answers } from './answers.js';
import type { Attachment } from './attachment.js';
import type { BindingOptions } from './binding.js';
import { Bindings } from './bindings.js';
import { Redactor } from './history.js';
import { checkName, hashKey, newAttachmentKey, newSessionId } from './ids.js';
import { asToolResult } from './loss.js';
import { Outbox } from './outbox.js';
import type { Router } from './router.js';
import { Session } from './session.js';

/** Rows deleted at a time, so that no request waits long. */
const PURGE_BATCH = 500;

const LONGEST_SWEEP = 30_000;

export interface ManagerOptions {
  store: Store;
  clock: Clock;
  connect: BindingOptions['connect'];
  router: Router;
  config: SessionsConfig;
  servers: readonly ServerConfig[];
  /** This process, as the store knows it. */
  instance: string;
  folder: (owner: string) => string;
  removeFolder: (owner: string) => void;
}

/** A client's attachment with the session it leads to. */
export interface Attached {
  session: Session;
  attachment: Attachment;
}

/** All sessions: found, made, paused when idle, deleted when forgotten. Those not in use are in the store alone. */
export class SessionManager {
  readonly #options: ManagerOptions;
  readonly #bindings: Bindings;
  readonly answers: Answers;
  readonly #redactor: Redactor;
  readonly #sessions = new Map<string, Session>();
  readonly #attached = new Map<string, Attached>();
  /** Sessions with servers, or about to start one. */
  readonly #running = new Set<Session>();
  #stopSweep: () => void = () => {};

  constructor(options: ManagerOptions) {
    this.#options = options;
    this.#bindings = new Bindings(options);
    this.#redactor = new Redactor(options.config.events);
    this.answers = new Answers(options.store, options.clock);
    this.#answerAbandoned();
    this.#schedule();
  }

  #schedule(): void {
    const every = Math.min(this.#options.config.ttl / 4, LONGEST_SWEEP);
    this.#stopSweep = this.#options.clock.after(every, () => {
      this.sweep()
        .catch((error: unknown) => log.session.error(`The sweep failed: ${messageOf(error)}`))
        .finally(() => this.#schedule());
    });
  }

  /** Pauses all sessions; their servers are gone when it resolves. */
  async stop(reason: string): Promise<void> {
    this.#stopSweep();
    await Promise.all([...this.#running].map((session) => session.pause(reason)));
  }

  /** Requests under way in all sessions. */
  get inFlight(): number {
    let sum = 0;
    for (const session of this.#running) sum += session.inFlight;
    return sum;
  }

  // -- sessions --------------------------------------------------------------------------------------------------

  /**
   * A new session of that principal; stored when it returns.
   * @throws {ProxyError} SESSION_NAME_INVALID, SESSION_LIMIT
   */
  create(principal: Principal, name?: string): Session {
    const { store, clock } = this.#options;
    this.#checkRoom(principal.id);
    const now = clock.now();
    const row: SessionRow = {
      id: newSessionId(),
      name: name === undefined ? null : checkName(name),
      principal: principal.id,
      state: 'idle',
      temporary: false,
      instance: null,
      settings: '{}',
      createdAt: now,
      updatedAt: now,
      lastActiveAt: now,
    };
    if (!store.sessions.insert(row)) {
      // Another process was first with the name: then that session it is.
      const existing = name === undefined ? undefined : store.sessions.byName(principal.id, name);
      if (existing) return this.#load(existing);
      throw new ProxyError('STORE_FAILED', 'The session could not be stored. Try again.');
    }
    const session = this.#load(row);
    session.event('created', { name: row.name });
    return session;
  }

  /** The principal's open session of that name, made when there is none. */
  open(principal: Principal, name: string): Session {
    const row = this.#options.store.sessions.byName(principal.id, checkName(name));
    return row ? this.#load(row) : this.create(principal, name);
  }

  async close(session: Session, reason: string): Promise<void> {
    this.#drop(session);
    await session.close(reason);
    this.#options.removeFolder(session.id);
  }

  // -- attachments -----------------------------------------------------------------------------------------------

  /**
   * Links a client to a session.
   * @param owner whether the session was made for this very client, so that its DELETE ends it
   * @returns with the key that the client is to present, known to nobody else
   */
  attach(session: Session, client: ClientProfile, owner: boolean): Attached {
    const { store, clock } = this.#options;
    const key = newAttachmentKey();
    const attachment: Attachment = {
      id: hashKey(key),
      key,
      owner,
      stream: store.nextId(),
      client,
      outlet: undefined,
    };
    const { id, stream } = attachment;
    store.attachments.insert({
      id,
      session: session.id,
      client: JSON.stringify(client),
      owner,
      stream,
      createdAt: clock.now(),
    });
    return this.#remember(session, attachment);
  }

  /** The client introduced itself anew. */
  introduce(attachment: Attachment, client: ClientProfile): void {
    attachment.client = client;
    this.#options.store.attachments.setClient(attachment.id, JSON.stringify(client));
  }

  /**
   * What a client's key leads to. A foreign, a closed and an unknown key are all the same: undefined.
   * @throws {ProxyError} SESSION_IN_USE
   */
  find(key: string, principal: Principal): Attached | undefined {
    const found = this.#attached.get(key) ?? this.#loadAttached(key, principal);
    if (!found || found.session.principal !== principal.id || found.session.state === 'closed')
      return undefined;
    return found;
  }

  /** The client leaves: that ends a session of its own making, and else the link alone. */
  async detach({ session, attachment }: Attached): Promise<void> {
    if (attachment.owner) return this.close(session, 'was stopped because the client ended the session');
    session.attachments.delete(attachment.id);
    this.#attached.delete(attachment.key);
    this.#options.store.attachments.delete(attachment.id);
    session.event('detached', { client: attachment.client.clientInfo });
  }

  #loadAttached(key: string, principal: Principal): Attached | undefined {
    const { store } = this.#options;
    const id = hashKey(key);
    const row = store.attachments.get(id);
    const sessionRow = row && store.sessions.get(row.session);
    if (!sessionRow || sessionRow.principal !== principal.id || sessionRow.state === 'closed')
      return undefined;
    const client = JSON.parse(row.client) as ClientProfile;
    const attachment: Attachment = {
      id,
      key,
      owner: row.owner,
      stream: row.stream,
      client,
      outlet: undefined,
    };
    return this.#remember(this.#load(sessionRow), attachment);
  }

  #remember(session: Session, attachment: Attachment): Attached {
    const attached = { session, attachment };
    session.attachments.set(attachment.id, attachment);
    this.#attached.set(attachment.key, attached);
    return attached;
  }

  // -- memory ----------------------------------------------------------------------------------------------------

  #load(row: SessionRow): Session {
    const loaded = this.#sessions.get(row.id);
    if (loaded) return loaded;
    const { store, clock, instance, servers, router, folder, config } = this.#options;
    if (row.instance !== null && row.instance !== instance) {
      const text = `Session ${row.name ?? row.id} is in use by another mcp-session-proxy on the same store. Stop that one, or give each a "store" of its own.`;
      throw new ProxyError('SESSION_IN_USE', text);
    }
    const session = new Session(row, {
      store,
      clock,
      instance,
      servers,
      router,
      folder,
      bindings: this.#bindings,
      config,
      redactor: this.#redactor,
      admit: (asking) => this.#admit(asking),
      retire: (retired) => this.#running.delete(retired),
    });
    this.#sessions.set(row.id, session);
    return session;
  }

  /** Requests whose process died with them: whoever comes back for the answer gets this one. */
  #answerAbandoned(): void {
    const { store } = this.#options;
    for (const { stream, head } of store.streams.unanswered()) {
      const error = new ProxyError(
        'OUTCOME_UNKNOWN',
        'The proxy was restarted while the request was under way: the outcome is unknown. Look before you repeat it.',
      );
      const outcome = head.method === 'tools/call' ? asToolResult(error) : { error: error.toJsonRpc() };
      Outbox.load(store, stream).send({ jsonrpc: '2.0', id: head.request, ...outcome }, { last: true });
    }
  }

  #drop(session: Session): void {
    this.#sessions.delete(session.id);
    for (const { key } of session.attachments.values()) this.#attached.delete(key);
  }

  // -- limits and deadlines --------------------------------------------------------------------------------------

  /** Pauses what is due, forgets what is not in use, deletes what is old. */
  async sweep(): Promise<void> {
    const { store, clock, config, removeFolder } = this.#options;
    const now = clock.now();
    const due = [...this.#running].filter((session) => session.expiresAt <= now);
    await Promise.all(due.map((session) => session.timeOut()));
    for (const session of this.#sessions.values()) {
      const listening = [...session.attachments.values()].some(({ outlet }) => outlet?.connected);
      if (!this.#running.has(session) && session.expiresAt <= now && !listening) this.#drop(session);
    }
    this.answers.sweep();
    for (const id of store.sessions.purge(now - config.retention, PURGE_BATCH)) {
      const session = this.#sessions.get(id);
      if (session) this.#drop(session);
      removeFolder(id);
    }
  }

  /** @throws {ProxyError} SESSION_LIMIT */
  async #admit(session: Session): Promise<void> {
    if (this.#running.has(session)) return;
    const [victim] = this.#checkRoom(session.principal);
    this.#running.add(session);
    await victim?.pause('was stopped because more sessions than allowed were running');
  }

  /** @returns the session to pause for another one of that principal, when the house is full */
  #checkRoom(principal: string): Session[] {
    const { max, maxPerPrincipal } = this.#options.config;
    const own = [...this.#running].filter((session) => session.principal === principal);
    for (const [running, limit, key] of [
      [own, maxPerPrincipal, 'maxPerPrincipal'],
      [[...this.#running], max, 'max'],
    ] as const) {
      if (running.length < limit) continue;
      const idle = running.filter((session) => session.inFlight === 0);
      const [victim] = idle.sort((a, b) => a.lastActiveAt - b.lastActiveAt);
      if (victim) return [victim];
      const text = `All ${limit} sessions (sessions.${key}) have requests under way. Try again later, or raise the limit.`;
      throw new ProxyError('SESSION_LIMIT', text);
    }
    return [];
  }
}
