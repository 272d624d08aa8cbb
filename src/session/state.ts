import type { Clock } from '../clock.js';
import { ProxyError } from '../errors.js';
import { isFields, type Fields } from '../protocol/messages.js';
import type { SnapshotRow, StateLevel, Store } from '../store/types.js';

/** Bounds on what one session may keep. */
const LARGEST_VALUE = 256 * 1024;
const MOST_KEYS = 1000;

const KEY = /^(?:(app|user|temp):)?([A-Za-z0-9][A-Za-z0-9._\-/]{0,127})$/;

/** One value with the version that a compare-and-set names. */
export interface StateValue {
  value: unknown;
  version: number;
}

export interface SaveOptions {
  /** The version to replace, 0 for none; any by default. */
  version?: number;
}

type Place = { level: StateLevel; owner: string; key: string } | { level: 'temp'; key: string };

/**
 * JSON by key, at four levels: `app:` is everybody's, `user:` the principal's, `temp:` lasts in memory until the session
 * is paused, and plain keys are the session's own.
 */
export class SessionState {
  readonly #session: string;
  readonly #principal: string;
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #temp = new Map<string, StateValue>();

  constructor(session: string, principal: string, store: Store, clock: Clock) {
    this.#session = session;
    this.#principal = principal;
    this.#store = store;
    this.#clock = clock;
  }

  /** @throws {ProxyError} STATE_KEY_INVALID */
  get(name: string): StateValue | undefined {
    const place = this.#place(name);
    if (place.level === 'temp') return this.#temp.get(place.key);
    const row = this.#store.state.get(place.level, place.owner, place.key);
    return row && { value: JSON.parse(row.value) as unknown, version: row.version };
  }

  /** All keys with their prefixes, as one object. */
  all(): Fields {
    const levels = [
      ['app:', this.#store.state.list('app', '')],
      ['user:', this.#store.state.list('user', this.#principal)],
      ['', this.#store.state.list('session', this.#session)],
    ] as const;
    const stored = levels.flatMap(([prefix, rows]) =>
      rows.map(({ key, value }) => [`${prefix}${key}`, JSON.parse(value) as unknown] as const),
    );
    const temporary = [...this.#temp].map(([key, { value }]) => [`temp:${key}`, value] as const);
    return Object.fromEntries([...stored, ...temporary]);
  }

  /** The session's own keys, without those of other levels. */
  own(): Fields {
    const rows = this.#store.state.list('session', this.#session);
    return Object.fromEntries(rows.map(({ key, value }) => [key, JSON.parse(value) as unknown]));
  }

  /**
   * Makes the session's own keys these and no others.
   * @throws {ProxyError} STATE_KEY_INVALID, and then nothing is changed
   */
  replaceOwn(values: Fields): void {
    for (const key of Object.keys(values)) {
      if (this.#place(key).level === 'session') continue;
      throw new ProxyError('STATE_KEY_INVALID', `"${key}" is no key of a session's own state. Leave it out.`);
    }
    for (const key of Object.keys(this.own())) if (!Object.hasOwn(values, key)) this.delete(key);
    for (const [key, value] of Object.entries(values)) this.set(key, value);
  }

  /**
   * @returns the new version
   * @throws {ProxyError} STATE_KEY_INVALID, STATE_VALUE_INVALID, STATE_TOO_LARGE, STATE_CONFLICT
   */
  set(name: string, value: unknown, { version }: SaveOptions = {}): number {
    const place = this.#place(name);
    const text = toJson(name, value);
    if (place.level === 'temp') {
      const before = this.#temp.get(place.key)?.version ?? 0;
      if (version !== undefined && version !== before) throw conflict(name, version, before);
      this.#temp.set(place.key, { value: JSON.parse(text) as unknown, version: before + 1 });
      return before + 1;
    }
    const { state } = this.#store;
    const { level, owner, key } = place;
    if (!state.get(level, owner, key) && state.list(level, owner).length >= MOST_KEYS) {
      throw new ProxyError(
        'STATE_TOO_LARGE',
        `There are ${MOST_KEYS} keys already. Delete some, or put more into one value.`,
      );
    }
    const stored = state.put(level, owner, key, text, this.#clock.now(), version);
    if (stored === undefined) throw conflict(name, version ?? 0, state.get(level, owner, key)?.version ?? 0);
    return stored;
  }

  /** Stores a value unless there is one: defaults never overwrite. */
  setDefault(name: string, value: unknown): void {
    if (this.get(name) === undefined) this.set(name, value);
  }

  /**
   * @returns whether there was such a key
   * @throws {ProxyError} STATE_KEY_INVALID, STATE_CONFLICT
   */
  delete(name: string, { version }: SaveOptions = {}): boolean {
    const place = this.#place(name);
    const before = this.get(name)?.version;
    if (before === undefined) return false;
    if (version !== undefined && version !== before) throw conflict(name, version, before);
    if (place.level === 'temp') return this.#temp.delete(place.key);
    return this.#store.state.delete(place.level, place.owner, place.key, before);
  }

  /** Keeps a text under a name, as its next revision. */
  saveSnapshot(name: string, value: string): SnapshotRow {
    const createdAt = this.#clock.now();
    const revision = this.#store.snapshots.save(this.#session, name, value, createdAt);
    return { name, revision, value, createdAt };
  }

  loadSnapshot(name: string, revision?: number): SnapshotRow | undefined {
    return this.#store.snapshots.load(this.#session, name, revision);
  }

  listSnapshots(name?: string): SnapshotRow[] {
    return this.#store.snapshots.list(this.#session, name);
  }

  /** `temp:` keys end with the session's connections. */
  forgetTemporary(): void {
    this.#temp.clear();
  }

  #place(name: string): Place {
    const [, level, key] = KEY.exec(name) ?? [];
    if (key === undefined) {
      throw new ProxyError(
        'STATE_KEY_INVALID',
        `"${name.slice(0, 160)}" is no key. Use letters, digits and . _ - / , after app:, user:, temp: or no prefix.`,
      );
    }
    switch (level) {
      case 'app':
        return { level, owner: '', key };
      case 'user':
        return { level, owner: this.#principal, key };
      case 'temp':
        return { level, key };
      default:
        return { level: 'session', owner: this.#session, key };
    }
  }
}

/** Whether a key belongs to the session's principal, in all sessions. */
export function isUserKey(name: string): boolean {
  return name.startsWith('user:');
}

/** Whether a key belongs to everybody, so that only administrators may write it. */
export function isAppKey(name: string): boolean {
  return name.startsWith('app:');
}

/**
 * The text of a value that JSON can hold whole: nothing would come back as something else.
 * @throws {ProxyError} STATE_VALUE_INVALID naming the place, STATE_TOO_LARGE
 */
export function toJson(name: string, value: unknown): string {
  checkJson(value, name);
  const text = JSON.stringify(value);
  if (text.length <= LARGEST_VALUE) return text;
  throw new ProxyError(
    'STATE_TOO_LARGE',
    `The value of "${name}" has ${text.length} characters; ${LARGEST_VALUE} are allowed.`,
  );
}

function checkJson(value: unknown, path: string): void {
  const wrong = (what: string) =>
    new ProxyError('STATE_VALUE_INVALID', `${path} is ${what}, which JSON cannot hold. Convert it first.`);
  if (value === null || typeof value === 'string' || typeof value === 'boolean') return;
  if (typeof value === 'number') {
    if (Number.isFinite(value)) return;
    throw wrong(String(value));
  }
  if (Array.isArray(value)) return value.forEach((item, index) => checkJson(item, `${path}[${index}]`));
  if (!isFields(value)) throw wrong(typeof value === 'undefined' ? 'undefined' : `a ${typeof value}`);
  if (Object.getPrototypeOf(value) !== Object.prototype && Object.getPrototypeOf(value) !== null) {
    throw wrong(`a ${value.constructor.name}`);
  }
  for (const [key, item] of Object.entries(value)) checkJson(item, `${path}.${key}`);
}

function conflict(name: string, expected: number, found: number): ProxyError {
  return new ProxyError(
    'STATE_CONFLICT',
    `"${name}" is at version ${found}, not ${expected}: somebody else changed it. Read it again, then set it.`,
    { details: { version: found } },
  );
}

/** One value laid over another: of two objects both, by key; else the upper one. */
export function laidOver(under: unknown, over: unknown): unknown {
  return isFields(under) && isFields(over) ? mergeDeep(under, over) : over;
}

function mergeDeep(under: Fields, over: Fields): Fields {
  const merged = { ...under };
  for (const [key, value] of Object.entries(over)) {
    merged[key] = laidOver(merged[key], value);
  }
  return merged;
}
