import type { Principal } from '../auth/principal.js';
import { EVERYBODY, mayUse } from './access.js';
import type { ServerConfig } from '../config/schema.js';
import type { Remember } from '../downstream/remote-session.js';
import type { SessionsConfig } from '../config/sessions.js';
import { ProxyError, messageOf } from '../errors.js';
import { log } from '../logger.js';
import type { SessionFilter, SessionRow, SessionState } from '../store/types.js';
import { answerAbandoned } from './adoption.js';
import { Answers } from './answers.js';
import { Bindings, type Drivers } from './bindings.js';
import type { Settings } from './dispatch.js';
import { Redactor } from './history.js';
import type { Hooks } from './hooks.js';
import { checkName, newSessionId } from './ids.js';
import { Outboxes } from './outboxes.js';
import { inherit } from './inherit.js';
import { inUse } from './refusals.js';
import type { Router } from './router.js';
import { Session } from './session.js';
import type { OwnTools } from './tools.js';

/** Rows deleted at a time, so that no request waits long. */
const PURGE_BATCH = 500;

const LONGEST_SWEEP = 30_000;

export interface ManagerOptions extends Omit<Drivers, 'questions'> {
  router: Router;
  config: SessionsConfig;
  hooks?: Hooks;
  servers: readonly ServerConfig[];
  /** This process, as the store knows it. */
  instance: string;
  folder: (owner: string) => string;
  removeFolder: (owner: string) => void;
  /** Where another worker takes over: has it know what it must. */
  remember?: Remember | undefined;
  /** Another worker's sessions and requests are about to be taken over. */
  succeeds?: boolean;
}

export interface CreateOptions extends Pick<Settings, 'servers' | 'ttl' | 'onTimeout'> {
  name?: string;
  /** Made for one call, and deleted after it. */
  temporary?: boolean;
}

/** All sessions: found, made, paused when idle, deleted when forgotten. Those not in use are in the store alone. */
export class SessionManager {
  readonly answers: Answers;
  readonly outboxes: Outboxes;
  /** The proxy's own tools, when models are offered them. */
  own: OwnTools | undefined;
  /** Told of each session that leaves memory. */
  ondrop: (session: Session) => void = () => {};
  /** Told of each sweep, and of how long what nobody uses is kept, milliseconds. */
  onsweep: (retention: number) => void = () => {};
  readonly #options: ManagerOptions;
  readonly #bindings: Bindings;
  readonly #redactor: Redactor;
  readonly #sessions = new Map<string, Session>();
  /** Sessions with servers, or about to start one. */
  readonly #running = new Set<Session>();
  /** Sessions whose servers are leaving for good. */
  readonly #closing = new Set<Promise<void>>();
  #admission = Promise.resolve();
  #stopSweep: () => void = () => {};

  constructor(options: ManagerOptions) {
    this.#options = options;
    this.#bindings = new Bindings({ ...options, questions: options.config.maxQuestions });
    this.#redactor = new Redactor(options.config.events);
    this.answers = new Answers(options.store, options.clock);
    this.outboxes = new Outboxes(options.store, options.clock, options.config.outbox, options.remember);
    if (!options.succeeds) answerAbandoned(this.outboxes);
    this.#schedule();
  }

  /** Pauses all sessions; their servers are gone when it resolves. */
  async stop(reason: string): Promise<void> {
    this.#stopSweep();
    await Promise.all([...this.#closing, ...[...this.#running].map((session) => session.pause(reason))]);
  }

  /** Requests under way in all sessions. */
  get inFlight(): number {
    return [...this.#running].reduce((sum, { inFlight }) => sum + inFlight, 0);
  }

  // -- making ----------------------------------------------------------------------------------------------------

  /**
   * A new session of that principal; stored when it returns.
   * @throws {ProxyError} SESSION_NAME_INVALID, SESSION_EXISTS, SESSION_LIMIT, NOT_FOUND
   */
  create(principal: Principal, { name, temporary = false, ...settings }: CreateOptions = {}): Session {
    const { store, clock, servers, config } = this.#options;
    this.#checkRoom(principal.id);
    const unknown = settings.servers?.find((server) => !servers.some((known) => known.name === server));
    if (unknown !== undefined) {
      const names = servers.map((server) => server.name).join(', ');
      throw new ProxyError('NOT_FOUND', `No server "${unknown}" is configured. There are: ${names}.`);
    }
    this.#makeWay(principal.id);
    const now = clock.now();
    const row: SessionRow = {
      id: newSessionId(),
      name: name === undefined ? null : checkName(name),
      principal: principal.id,
      state: 'idle',
      temporary,
      instance: null,
      settings: JSON.stringify(settings),
      createdAt: now,
      updatedAt: now,
      lastActiveAt: now,
    };
    if (!store.sessions.insert(row)) {
      throw new ProxyError(
        'SESSION_EXISTS',
        `There is a session "${name}" already. Use it, or choose another name.`,
      );
    }
    const session = this.load(row);
    for (const [key, value] of Object.entries(config.state)) session.values.setDefault(key, value);
    session.event('created', { name: row.name, temporary });
    return session;
  }

  /** The principal's open session of that name, made when there is none; two who ask at once get the same. */
  open(principal: Principal, name: string): Session {
    const found = this.byName(principal.id, name);
    if (found) return found;
    try {
      return this.create(principal, { name });
    } catch (error) {
      const first = this.byName(principal.id, name);
      if (first) return first;
      throw error;
    }
  }

  /** Runs `job` in a session that is gone afterwards, whatever happens. */
  async temporarily<T>(principal: Principal, job: (session: Session) => Promise<T>): Promise<T> {
    const session = this.create(principal, { temporary: true });
    try {
      return await job(session);
    } finally {
      await this.close(session, 'was stopped after the call');
      await this.purge(session.id);
    }
  }

  // -- finding ---------------------------------------------------------------------------------------------------

  byId(id: string): Session | undefined {
    const loaded = this.#sessions.get(id);
    const row = loaded ? undefined : this.#options.store.sessions.get(id);
    return loaded ?? (row && this.load(row));
  }

  /** The open session of that name. @throws {ProxyError} SESSION_NAME_INVALID */
  byName(principal: string, name: string): Session | undefined {
    const row = this.#options.store.sessions.byName(principal, checkName(name));
    return row && this.load(row);
  }

  /** What was shared with the principal under that alias. */
  byAlias(principal: Principal, alias: string): Session | undefined {
    return this.#options.store.shares
      .byAlias(alias)
      .map(({ session }) => this.byId(session))
      .find((session) => session && session.state !== 'closed' && this.mayUse(principal, session));
  }

  /** Gives a fork its own copy of what was saved of the servers of its source. */
  inherit(source: Session, fork: Session): Promise<void> {
    return inherit(this.#options, source, fork);
  }

  /** Whether it is the principal's own, everybody's, or shared with them. */
  mayUse(principal: Principal, session: Session): boolean {
    const { shares } = this.#options.store;
    return mayUse(principal, session.principal) || shares.includes(session.id, principal.id);
  }

  /** @throws {ProxyError} SESSION_EXISTS when the alias leads to another session */
  share(session: Session, alias: string, principals: string[]): void {
    if (this.#options.store.shares.byAlias(alias).some((share) => share.session !== session.id)) {
      throw new ProxyError('SESSION_EXISTS', `The alias "${alias}" is taken. Choose another one.`);
    }
    for (const principal of principals) this.#options.store.shares.put(session.id, principal, alias);
  }

  list(filter: SessionFilter): SessionRow[] {
    return this.#options.store.sessions.list(filter);
  }

  loaded(): Session[] {
    return [...this.#sessions.values()];
  }

  /** @param principals whose sessions count; all by default */
  stats(principals?: readonly string[]): {
    sessions: Partial<Record<SessionState, number>>;
    running: number;
    requests: number;
  } {
    const sessions = Object.fromEntries(
      this.#options.store.sessions.counts(principals).map(({ state, count }) => [state, count]),
    );
    const running = [...this.#running].filter(({ principal }) => principals?.includes(principal) ?? true);
    const requests = running.reduce((sum, { inFlight }) => sum + inFlight, 0);
    return { sessions, running: running.length, requests };
  }

  /** Whether another process on the same store runs the session's servers. */
  isElsewhere({ instance }: SessionRow): boolean {
    return instance !== null && instance !== this.#options.instance;
  }

  /** The session of a row of the store. @throws {ProxyError} SESSION_IN_USE */
  load(row: SessionRow): Session {
    const loaded = this.#sessions.get(row.id);
    if (loaded) return loaded;
    if (this.isElsewhere(row)) throw inUse(row);
    const session = new Session(row, {
      ...this.#options,
      bindings: this.#bindings,
      redactor: this.#redactor,
      own: () => this.own,
      admit: (asking) => this.#admit(asking),
      retire: (retired) => this.#running.delete(retired),
    });
    // A closed one is looked at and forgotten again.
    if (row.state !== 'closed') this.#sessions.set(row.id, session);
    return session;
  }

  /** The session of an earlier worker, which this one goes on with; undefined when there is nothing to go on with. */
  takeOver(id: string): Session | undefined {
    const row = this.#options.store.sessions.get(id);
    if (!row || row.state === 'closed') return undefined;
    const session = this.load(row);
    this.#running.add(session);
    return session;
  }

  // -- ending ----------------------------------------------------------------------------------------------------

  close(session: Session, reason: string, force = false): Promise<void> {
    const closing = this.#close(session, reason, force).finally(() => this.#closing.delete(closing));
    this.#closing.add(closing);
    return closing;
  }

  async #close(session: Session, reason: string, force: boolean): Promise<void> {
    this.#drop(session);
    await session.close(reason, force);
    this.#options.removeFolder(session.id);
    await this.#options.store.write(() => this.#options.store.checkpoints.delete(session.id));
  }

  /** Deletes what is left of a closed session, after what is still being written of it. */
  async purge(id: string): Promise<void> {
    await this.#options.store.write(() => this.#options.store.sessions.delete(id));
  }

  /** Stores what a request recorded; resolves when it is on disk. */
  async store(record: (() => void) | undefined): Promise<void> {
    if (record) await this.#options.store.write(record);
  }

  #drop(session: Session): void {
    this.#sessions.delete(session.id);
    this.ondrop(session);
  }

  /**
   * Deletes a session of the principal that has as many as are kept.
   * @throws {ProxyError} SESSION_LIMIT
   */
  #makeWay(principal: string): void {
    const { store, config, removeFolder } = this.#options;
    if (store.sessions.count(principal) < config.maxKept) return;
    const id = store.sessions.dispensable(principal);
    if (id === undefined) {
      const text = `There are ${config.maxKept} sessions (sessions.maxKept), and all have a name or servers. Close some.`;
      throw new ProxyError('SESSION_LIMIT', text);
    }
    const loaded = this.#sessions.get(id);
    if (loaded) {
      this.#drop(loaded);
      void loaded.close('was stopped because there were more sessions than are kept');
    }
    store.sessions.delete(id);
    removeFolder(id);
  }

  // -- limits and deadlines --------------------------------------------------------------------------------------

  /** Pauses what is due, forgets what is not in use, deletes what is old. */
  async sweep(): Promise<{ paused: number; deleted: number }> {
    const { store, clock, config, removeFolder } = this.#options;
    const now = clock.now();
    const { ttl, onTimeout, maxAge } = config;
    const bornBefore = maxAge === undefined ? 0 : clock.ago(maxAge);
    // The store knows nothing of jumps of the clock: it names those that may be due.
    const resting = store.sessions
      .due({ now: clock.ago(ttl) + ttl, ttl, onTimeout, bornBefore }, PURGE_BATCH)
      .flatMap((id) => this.byId(id) ?? []);
    const due = [...this.#running, ...resting].filter((session) => session.expiresAt <= now);
    await Promise.all(due.map((session) => session.timeOut()));
    // What they wrote of themselves is stored before anybody may load them again.
    if (due.length > 0) await store.write(() => {});
    for (const session of this.#sessions.values()) {
      const listening = session.history.followed || session.clients.listening;
      if (!this.#running.has(session) && session.expiresAt <= now && !listening) this.#drop(session);
    }
    for (const level of ['app', 'user', 'session'] as const) {
      const kept = config.stateTtl[level];
      if (kept !== undefined) store.state.expire(level, clock.ago(kept));
    }
    this.onsweep(config.retention);
    this.answers.sweep();
    this.outboxes.sweep();
    const deleted = store.sessions.purge(clock.ago(config.retention), PURGE_BATCH);
    for (const id of deleted) {
      const session = this.#sessions.get(id);
      if (session) this.#drop(session);
      removeFolder(id);
    }
    return { paused: due.length, deleted: deleted.length };
  }

  #schedule(): void {
    const every = Math.min(this.#options.config.ttl / 4, LONGEST_SWEEP);
    this.#stopSweep = this.#options.clock.after(every, () => {
      this.sweep()
        .catch((error: unknown) => log.session.error(`The sweep failed: ${messageOf(error)}`))
        .finally(() => this.#schedule());
    });
  }

  /**
   * Makes room for a session that is about to start a server; one after the other, so that the house is never too full.
   * @throws {ProxyError} SESSION_LIMIT
   */
  async #admit(session: Session): Promise<void> {
    const turn = this.#admission.then(async () => {
      if (this.#running.has(session)) return;
      for (
        let [victim] = this.#checkRoom(session.principal);
        victim;
        [victim] = this.#checkRoom(session.principal)
      ) {
        await victim.pause('was stopped because more sessions than allowed were running');
      }
      this.#running.add(session);
    });
    this.#admission = turn.catch(() => {});
    await turn;
  }

  /** @returns the session to pause for another one of that principal, when the house is full */
  #checkRoom(principal: string): Session[] {
    const { max, maxPerPrincipal } = this.#options.config;
    const all = [...this.#running];
    const own = principal === EVERYBODY ? [] : all.filter((session) => session.principal === principal);
    for (const [running, limit, key] of [
      [own, maxPerPrincipal, 'maxPerPrincipal'],
      [all, max, 'max'],
    ] as const) {
      if (running.length < limit) continue;
      const idle = running.filter((session) => session.idle);
      const [victim] = idle.sort((a, b) => a.lastActiveAt - b.lastActiveAt);
      if (victim) return [victim];
      const text = `All ${limit} sessions (sessions.${key}) have requests under way. Try again later, or raise the limit.`;
      throw new ProxyError('SESSION_LIMIT', text);
    }
    return [];
  }
}
