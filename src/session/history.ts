import { createHash } from 'node:crypto';
import type { Clock } from '../clock.js';
import type { SessionsConfig } from '../config/sessions.js';
import { redact } from '../secrets.js';
import { isFields, type Fields } from '../protocol/messages.js';
import type { EventRow, Store } from '../store/types.js';
import type { Hooks } from './hooks.js';

/** The track of what the proxy itself records. */
export const MAIN_TRACK = 'main';

/** A longer text or body is recorded as its length and hash, bytes. */
const LONGEST_BODY = 64 * 1024;

/** Arguments of such names are not recorded. */
const SECRET_NAME = /pass|secret|token|api[-_]?key|auth|cookie|credential/i;

const REDACTED = '[redacted]';

/** One event as its readers get it. */
export interface SessionEvent {
  seq: number;
  /** Milliseconds since the epoch. */
  at: number;
  type: string;
  data: Fields;
}

export interface EventQuery {
  /** The last so many; all that are kept by default. */
  last?: number;
  /** Not before this time, milliseconds since the epoch. */
  since?: number;
  /** After this sequence. */
  after?: number;
  track?: string;
}

/** What is not to be recorded, compiled once for all sessions. */
export class Redactor {
  readonly #names: ReadonlySet<string>;
  readonly #patterns: RegExp[];

  constructor({ redact: names, redactPatterns }: SessionsConfig['events']) {
    this.#names = new Set(names.map((name) => name.toLowerCase()));
    this.#patterns = redactPatterns.map((pattern) => new RegExp(pattern, 'g'));
  }

  /** A copy without secrets, and without what is too long. */
  clean(value: unknown, name = ''): unknown {
    if (name !== '' && (SECRET_NAME.test(name) || this.#names.has(name.toLowerCase()))) return REDACTED;
    if (typeof value === 'string') return this.#text(value);
    if (Array.isArray(value)) return value.map((item) => this.clean(item));
    if (!isFields(value)) return value;
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, this.clean(item, key)]));
  }

  #text(text: string): unknown {
    if (text.length > LONGEST_BODY) return digest(text);
    return this.#patterns.reduce((clean, pattern) => clean.replace(pattern, REDACTED), redact(text));
  }
}

function digest(text: string): Fields {
  return { length: Buffer.byteLength(text), sha256: createHash('sha256').update(text).digest('hex') };
}

/** A session's append-only history: numbered, kept to a limit on disk, free of secrets. */
export class History {
  readonly #session: string;
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #config: SessionsConfig['events'];
  readonly #redactor: Redactor;
  readonly #hooks: Hooks;
  readonly #last = new Map<string, number>();
  readonly #followers = new Set<(event: SessionEvent) => void>();

  constructor(
    session: string,
    store: Store,
    clock: Clock,
    config: SessionsConfig['events'],
    redactor: Redactor,
    hooks: Hooks,
  ) {
    this.#session = session;
    this.#store = store;
    this.#clock = clock;
    this.#config = config;
    this.#redactor = redactor;
    this.#hooks = hooks;
  }

  /** A write that appends an event; it is numbered now, and stored with whatever it is committed with. */
  append(type: string, given: Fields, track = MAIN_TRACK): () => void {
    const { events } = this.#store;
    const session = this.#session;
    const data = this.#hooks.event({ session, track, type, data: given });
    if (!data) return () => {};
    const seq = this.lastSeq(track) + 1;
    this.#last.set(track, seq);
    const at = this.#clock.now();
    const whole = JSON.stringify(data);
    const kept = whole.length > LONGEST_BODY ? digest(whole) : data;
    if (track === MAIN_TRACK) for (const follow of this.#followers) follow({ seq, at, type, data: kept });
    const text = kept === data ? whole : JSON.stringify(kept);
    return () => events.append(session, track, { seq, at, type, data: text }, this.#config.keep);
  }

  /** Number of the last event of a track; 0 when there is none. */
  lastSeq(track = MAIN_TRACK): number {
    return this.#last.get(track) ?? this.#store.events.last(this.#session, track, 1)[0]?.seq ?? 0;
  }

  /** What is recorded of a tool call. */
  ofCall(tool: unknown, args: unknown, outcome: Fields): Fields {
    const recorded =
      this.#config.arguments && isFields(args) ? { arguments: this.#redactor.clean(args) } : {};
    return { tool, ...recorded, ...outcome };
  }

  read({ last, since, after, track = MAIN_TRACK }: EventQuery = {}): SessionEvent[] {
    const from = { ...(since === undefined ? {} : { since }), ...(after === undefined ? {} : { after }) };
    return this.#store.events.last(this.#session, track, last ?? this.#config.keep, from).map(toEvent);
  }

  /** Whether somebody follows. */
  get followed(): boolean {
    return this.#followers.size > 0;
  }

  /** Calls `follow` for each event from now on, until the returned function is called. */
  follow(follow: (event: SessionEvent) => void): () => void {
    this.#followers.add(follow);
    return () => this.#followers.delete(follow);
  }
}

function toEvent({ data, ...event }: EventRow): SessionEvent {
  return { ...event, data: JSON.parse(data) as Fields };
}
