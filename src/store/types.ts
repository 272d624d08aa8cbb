/**
 * What the proxy remembers beyond its own life. A driver's methods are synchronous statements that throw on failure;
 * alone, each is its own transaction. What belongs to a request in flight goes through `write`, which commits the
 * writes of all requests of one event loop turn together and resolves when they are on disk.
 *
 * Times are milliseconds since the epoch.
 */
export interface Store {
  /**
   * Runs `job` in the next commit. Rejects with STORE_FAILED, and then none of `job` is stored.
   * @param lasts `process`: it need outlive this process alone, and not a loss of power, which costs no sync to disk
   */
  write(job: () => void, lasts?: 'disk' | 'process'): Promise<void>;
  /**
   * Refuses what could not be recorded: while writes fail for want of space, or because the disk fails. Now and then it
   * tries whether they still do.
   * @throws {ProxyError} STORE_FAILED
   */
  demandWritable(): void;
  /** A number below 2^31 that no other call of this store, also of another process, was given lately. */
  nextId(): number;
  readonly sessions: SessionTable;
  readonly attachments: AttachmentTable;
  readonly bindings: BindingTable;
  readonly streams: StreamTable;
  readonly events: EventTable;
  readonly state: StateTable;
  readonly snapshots: SnapshotTable;
  readonly shares: ShareTable;
  readonly hints: HintTable;
  readonly servers: ServerTable;
  readonly checkpoints: CheckpointTable;
  readonly processes: ProcessTable;
  /** Looks whether the store is sound, unless that would take long. @throws {ProxyError} STORE_FAILED */
  check(): void;
  /** Commits what waits and closes. */
  close(): void;
}

/** Life of a session; who may change which into which stands in `session/session.ts`. */
export type SessionState = 'idle' | 'active' | 'paused' | 'error' | 'closed';

export interface SessionRow {
  /** `ses_` and 128 random bits. */
  id: string;
  /** Unique among the principal's sessions that are not closed. */
  name: string | null;
  principal: string;
  state: SessionState;
  temporary: boolean;
  /** The running proxy that holds the session's connections, or none. */
  instance: string | null;
  /** What servers must be told again after a restart (log level, subscriptions), JSON. */
  settings: string;
  createdAt: number;
  updatedAt: number;
  lastActiveAt: number;
}

export interface SessionFilter {
  /** Of these only. */
  principals?: readonly string[];
  /** In one of these states only. */
  states?: readonly SessionState[];
  limit: number;
  /** Only those after this one in the order of the list. */
  after?: { updatedAt: number; id: string };
}

/** The configured clocks at one moment, milliseconds; settings of a session's own go before them. */
export interface Deadline {
  now: number;
  ttl: number;
  onTimeout: 'pause' | 'close';
  /** Sessions made before this moment are to be closed. */
  bornBefore: number;
}

export interface SessionTable {
  /** @returns false, and nothing is stored, when the principal has an open session of that name */
  insert(row: SessionRow): boolean;
  get(id: string): SessionRow | undefined;
  /** The open session of that name. */
  byName(principal: string, name: string): SessionRow | undefined;
  /** Takes the session for that instance. @returns false when another has it */
  claim(id: string, instance: string): boolean;
  setState(id: string, state: SessionState, instance: string | null, at: number): void;
  setSettings(id: string, settings: string, at: number): void;
  touch(id: string, lastActiveAt: number): void;
  /** Renames. @returns false, and nothing changes, when the principal has an open session of that name */
  setName(id: string, name: string | null, at: number): boolean;
  /** By last update, newest first. */
  list(filter: SessionFilter): SessionRow[];
  /** How many there are in each state, of these principals or of all. */
  counts(principals?: readonly string[]): { state: SessionState; count: number }[];
  /** How many rows a principal has, closed ones too. */
  count(principal: string): number;
  /** The longest unused one that a principal can do without: a closed one, else one without name and servers. */
  dispensable(principal: string): string | undefined;
  /** At most `limit` sessions without servers that are to be closed, by what the store knows of their use. */
  due(deadline: Deadline, limit: number): string[];
  /** Deletes one with all that belongs to it. */
  delete(id: string): void;
  /** Sessions that another process held when it died; they are `paused` afterwards. */
  releaseOf(instance: string, at: number): string[];
  /** Deletes at most `limit` sessions last used before `before`, with all that belongs to them. */
  purge(before: number, limit: number): string[];
}

export interface AttachmentRow {
  /** SHA-256 of the id that the client holds: the store gives nobody a session. */
  id: string;
  session: string;
  /** The client as it introduced itself, JSON. */
  client: string;
  /** Made the session itself, so that its DELETE closes it. */
  owner: boolean;
  /** Stream for messages that belong to no request. */
  stream: number;
  createdAt: number;
  /** Its last use, or some time before it. */
  usedAt: number;
}

export interface AttachmentTable {
  insert(row: AttachmentRow): void;
  get(id: string): AttachmentRow | undefined;
  /** Those at a session that were last used at `since` or later. */
  of(session: string, since: number): AttachmentRow[];
  setClient(id: string, client: string): void;
  setSession(id: string, session: string): void;
  touch(id: string, at: number): void;
  delete(id: string): void;
  /** Deletes at most `limit` that were last used before `before`, with their streams. */
  expire(before: number, limit: number): void;
}

export interface BindingRow {
  /** A session's id, a principal or all, as the server's scope says. */
  owner: string;
  server: string;
  /** Grows each time the process or remote session is replaced. */
  generation: number;
  /** Why the last generation ended, in words; null while it lives. */
  ended: string | null;
}

export interface BindingTable {
  get(owner: string, server: string): BindingRow | undefined;
  put(row: BindingRow): void;
  /** Generations of each server that a session has called tools of. */
  seen(session: string): { server: string; generation: number }[];
  see(session: string, server: string, generation: number): void;
}

export interface CheckpointRow {
  /** As of a binding. */
  owner: string;
  server: string;
  /** 0 or 1: which of the two places of its files this one took. */
  slot: number;
  at: number;
  /** Values taken out of results, JSON object. */
  captured: string;
}

/** The last saved state of a server, and the calls since then that are to be sent again. */
export interface CheckpointTable {
  get(owner: string, server: string): CheckpointRow | undefined;
  /** Stores it in place of the one before; the calls recorded until now are in it. */
  put(row: CheckpointRow): void;
  /** @param args JSON object */
  record(owner: string, server: string, tool: string, args: string): void;
  /** In the order in which they were made. */
  recorded(owner: string, server: string): { tool: string; args: string }[];
  /** Of one server, or all of that owner. */
  delete(owner: string, server?: string): void;
}

/** What a request's stream is for. */
export interface StreamHead {
  attachment: string;
  /** The client's own request id. */
  request: string | number;
  method: string;
  instance: string;
  /** Where the request is, once it was sent on. */
  sent?: SentRequest;
}

/** A request that is with a server: what another process needs to take its answer. */
export interface SentRequest {
  session: string;
  /** Who sent it. */
  principal: string;
  server: string;
  /** Its id there. */
  id: number;
  /** The process it went to, of a local server. */
  pid?: number | undefined;
  /** What of the client's params says for which server it is, and how the client hears of its progress; no arguments. */
  params: Record<string, unknown>;
  /** Questions of the server that wait for the client. */
  asked: (string | number)[];
}

/** What may be left of a stream. */
export interface StreamLimits {
  messages: number;
  bytes: number;
  /** Stored at this time or later. */
  before: number;
}

export interface StreamTable {
  /** Stores what a stream is for, before its first message, or what has become known of it since. */
  open(stream: number, head: StreamHead): void;
  /** Of a stream that belongs to a request; undefined for any other. */
  head(stream: number): StreamHead | undefined;
  /** Message `seq`, from 1. @param head given when the stream was not opened before */
  append(stream: number, seq: number, data: string, last: boolean, at: number, head?: StreamHead): void;
  /** Messages after `after`, in order, at most `limit`. */
  read(stream: number, after: number, limit: number): { seq: number; data: string }[];
  /** The stream's highest message, and whether no other follows. */
  tail(stream: number): { seq: number; last: boolean };
  delete(streams: readonly number[]): void;
  /** Deletes what is beyond one of the limits, oldest first and none after `upTo`; the newest message stays. */
  trim(stream: number, limits: StreamLimits, upTo?: number): void;
  /**
   * Deletes what is older than `before` on the clients' own streams, but for the newest message of each.
   * @param slice of the attachments in the order of their ids, and streams to leave alone
   * @returns after which attachment to go on; empty when there are no more
   */
  expire(before: number, slice: { after: string; limit: number; except: readonly number[] }): string;
  /** Requests without an answer whose process is no more. */
  unanswered(): { stream: number; head: StreamHead }[];
  /** Deletes the streams of requests whose process is no more. */
  deleteAbandoned(): void;
}

export interface EventRow {
  seq: number;
  at: number;
  type: string;
  /** JSON object. */
  data: string;
}

export interface EventTable {
  /** Stores an event in place of the one `keep` before it on the same track. */
  append(session: string, track: string, event: EventRow, keep: number): void;
  /** The last `limit` events after sequence `after` and not before `since`, oldest first. */
  last(session: string, track: string, limit: number, from?: { after?: number; since?: number }): EventRow[];
}

/** Whose state it is: all principals', one principal's, one session's. */
export type StateLevel = 'app' | 'user' | 'session';

export interface StateRow {
  key: string;
  /** JSON. */
  value: string;
  /** Grows with each change, from 1. */
  version: number;
  updatedAt: number;
}

export interface StateTable {
  get(level: StateLevel, owner: string, key: string): StateRow | undefined;
  /** By key. */
  list(level: StateLevel, owner: string): StateRow[];
  /**
   * @param expected the version that is to be replaced, 0 for none; undefined replaces any
   * @returns the new version; undefined, and nothing is stored, when another stands there
   */
  put(
    level: StateLevel,
    owner: string,
    key: string,
    value: string,
    at: number,
    expected?: number,
  ): number | undefined;
  /** @returns whether there was one of that version */
  delete(level: StateLevel, owner: string, key: string, expected?: number): boolean;
  /** Deletes what nobody changed since, of one level. @returns how many */
  expire(level: StateLevel, before: number): number;
  copy(from: string, to: string, at: number): void;
}

export interface SnapshotRow {
  name: string;
  revision: number;
  /** JSON. */
  value: string;
  createdAt: number;
}

export interface SnapshotTable {
  /** @returns the new revision, from 1 */
  save(session: string, name: string, value: string, at: number): number;
  /** The revision, or the latest. */
  load(session: string, name: string, revision?: number): SnapshotRow | undefined;
  /** Revisions of one name, oldest first; without a name the latest of each. */
  list(session: string, name?: string): SnapshotRow[];
}

export interface ShareTable {
  put(session: string, principal: string, alias: string): void;
  /** Sessions of that alias with whom they are shared. */
  byAlias(alias: string): { session: string; principal: string }[];
  /** Whether the session is shared with that principal or with everybody. */
  includes(session: string, principal: string): boolean;
}

export interface HintTable {
  /** The id of the session that a hint of that principal leads to; it may be closed. */
  get(principal: string, hint: string): string | undefined;
  /** Leads the hint to a session. @returns false, and nothing changes, when it does not lead to `before` (any more) */
  replace(principal: string, hint: string, before: string | undefined, session: string): boolean;
}

export interface ServerTable {
  /** What a server of this configuration said of itself at its last `initialize`, JSON. */
  description(key: string): string | undefined;
  setDescription(key: string, data: string, at: number): void;
}

/** A process by more than its number, which the system gives out again. */
export interface ProcessMark {
  pid: number;
  /** When the system started it, in the system's own words; with the boot it happened in. */
  started: string;
}

export interface ProcessTable {
  registerInstance(id: string, mark: ProcessMark, at: number): void;
  /** Where this proxy can be reached from this machine. */
  setUrl(id: string, url: string): void;
  /** Every proxy that has opened this store and not closed it. */
  instances(): { id: string; mark: ProcessMark; url: string | null }[];
  removeInstance(id: string): void;
  /** Sessions and children of one instance become another's. @returns the sessions; the first instance is no more */
  takeOver(from: string, to: string): string[];
  /** @param marker in the environment of all that the process starts */
  addChild(instance: string, mark: ProcessMark, marker?: string): void;
  removeChild(mark: ProcessMark): void;
  childrenOf(instance: string): ProcessMark[];
  markersOf(instance: string): string[];
}
