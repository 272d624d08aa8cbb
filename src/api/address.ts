import { ProxyError } from '../errors.js';
import type { Context } from './link.js';

/** Under what MCP clients reach one session, below the endpoint. */
export class Address {
  readonly #context: Context;
  readonly #id: string;
  readonly #guests = new Set<string>();

  constructor(context: Context, id: string) {
    this.#context = context;
    this.#id = id;
  }

  /**
   * Its name, where that leads all who come to this session; else its id, as the alias it is shared under with them.
   * @throws {ProxyError} SESSION_CLOSED
   */
  async find(guests?: readonly string[]): Promise<string> {
    const { door, link } = this.#context;
    const { name, principal, scope, state } = await door.info(this.#id);
    // A name that is free again would lead to a new session.
    if (state === 'closed')
      throw new ProxyError('SESSION_CLOSED', `Session ${name ?? this.#id} is closed for good.`);
    const coming = guests ?? [scope === 'store' ? principal : (link.guest ?? principal)];
    const own = scope === 'agent' && coming.every((guest) => guest === principal);
    if (own && name !== null) return name;
    const strangers = coming.filter((guest) => !this.#guests.has(guest));
    if (strangers.length > 0) await door.share(this.#id, this.#id, strangers);
    for (const guest of strangers) this.#guests.add(guest);
    return `@${this.#id}`;
  }
}
