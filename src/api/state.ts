import type { SaveOptions, StateValue } from '../admin/door.js';
import { ProxyError } from '../errors.js';
import type { Fields } from '../protocol/messages.js';
import type { Context } from './link.js';

/** Makes of JSON what the program works with; throws at what it does not know. `schema.parse` of zod is one. */
export type FromJson<T> = (value: unknown) => T;

/**
 * JSON by key: what a session is to remember, whatever becomes of its servers. `app:` keys are everybody's (administrators
 * write them), `user:` keys the principal's in all sessions, `temp:` keys last in memory until the session is paused, and
 * plain keys are the session's own.
 *
 * @example
 * const { version } = await session.state.entry('cart') ?? { version: 0 };
 * await session.state.set('cart', ['tea'], { version }); // STATE_CONFLICT if somebody was in between
 */
export class HandleState {
  readonly #context: Context;
  readonly #id: string;

  constructor(context: Context, id: string) {
    this.#context = context;
    this.#id = id;
  }

  /** The value; undefined when there is none, as null is a value. @throws {ProxyError} STATE_KEY_INVALID */
  get(key: string): Promise<unknown>;
  get<T>(key: string, fromJson: FromJson<T>): Promise<T | undefined>;
  async get(key: string, fromJson: FromJson<unknown> = asItIs): Promise<unknown> {
    const found = await this.entry(key);
    return found && fromJson(found.value);
  }

  /** The value with its version; undefined when there is none. */
  async entry(key: string): Promise<StateValue | undefined> {
    try {
      return await this.#context.door.getValue(this.#id, key);
    } catch (error) {
      if (error instanceof ProxyError && error.code === 'STATE_NOT_FOUND') return undefined;
      throw error;
    }
  }

  /** Everything, with the prefixes of its levels. */
  all(): Promise<Fields> {
    return this.#context.door.getState(this.#id);
  }

  /**
   * Stores a value; with `version` only in place of that one (0: where there is none).
   * @returns the new version
   * @throws {ProxyError} STATE_CONFLICT, STATE_KEY_INVALID, STATE_VALUE_INVALID naming the place, STATE_TOO_LARGE, FORBIDDEN
   */
  async set(key: string, value: unknown, options: SaveOptions = {}): Promise<number> {
    return (await this.#context.door.setValue(this.#id, key, value, options)).version;
  }

  /** Lays an object over the one that is there, key by key and deeply; anything else is replaced. @returns the whole */
  async merge(key: string, value: Fields, options: SaveOptions = {}): Promise<StateValue> {
    return this.#context.door.setValue(this.#id, key, value, { ...options, merge: true });
  }

  /** @returns whether there was such a key @throws {ProxyError} STATE_CONFLICT, FORBIDDEN */
  delete(key: string, options: SaveOptions = {}): Promise<boolean> {
    return this.#context.door.deleteValue(this.#id, key, options);
  }

  /**
   * The value; made by `init` and stored when there is none. However many ask at once, `init` runs once in this program;
   * of several programs the first value stays, and all get that one. When `init` throws, all who wait get its error, and
   * the next to ask begins anew.
   */
  getOrInit(key: string, init: () => unknown): Promise<unknown>;
  getOrInit<T>(key: string, init: () => unknown, fromJson: FromJson<T>): Promise<T>;
  async getOrInit(key: string, init: () => unknown, fromJson: FromJson<unknown> = asItIs): Promise<unknown> {
    const { making } = this.#context;
    const place = `${this.#id} ${key}`;
    let made = making.get(place);
    if (!made) {
      made = this.#getOrInit(key, init).finally(() => making.delete(place));
      making.set(place, made);
    }
    return fromJson(await made);
  }

  async #getOrInit(key: string, init: () => unknown): Promise<unknown> {
    const found = await this.entry(key);
    if (found) return found.value;
    const value = await init();
    try {
      return (await this.#context.door.setValue(this.#id, key, value, { version: 0 })).value;
    } catch (error) {
      const first = await this.entry(key);
      if (first && error instanceof ProxyError && error.code === 'STATE_CONFLICT') return first.value;
      throw error;
    }
  }
}

function asItIs(value: unknown): unknown {
  return value;
}
