import type { ServerView } from '../admin/door.js';
import { ProxyError } from '../errors.js';
import type { Fields } from '../protocol/messages.js';
import type { Link } from './link.js';
import { Space } from './space.js';

/** Against a URL it stands before a dot in names that have 64 characters at most. */
const AGENT = /^[A-Za-z0-9_-]{1,32}$/;

/** A proxy in a program's hands, in this process or elsewhere: the same either way. */
export class ProxyHandle implements AsyncDisposable {
  readonly #link: Link;
  readonly #spaces = new Map<string, Space>();

  /** @internal */
  constructor(link: Link) {
    this.#link = link;
  }

  /** Address of the MCP endpoint; undefined for a proxy of this process that does not listen. */
  get url(): string | undefined {
    return this.#link.endpoint;
  }

  /** The space that all principals share. */
  forStore(): Space {
    return this.#space(
      'store',
      () => new Space({ door: this.#link.door, scope: 'store', prefix: '' }, this.#link),
    );
  }

  /**
   * The space of one agent. In this process each agent is a principal of its own, `agent:ID`. Against a URL the token's
   * principal owns all it makes, and the spaces of its agents are told apart by names: `ID.NAME`.
   *
   * @param id letters, digits, hyphens and underscores, 32 at most; left out, the space of the principal whom the proxy
   *   knows: `local`, or the token's. MCP clients of that principal have the same sessions.
   * @throws {ProxyError} INVALID_PARAMS
   */
  forAgent(id?: string): Space {
    if (id === undefined) {
      return this.#space(
        'agent',
        () => new Space({ door: this.#link.door, scope: 'agent', prefix: '' }, this.#link),
      );
    }
    if (!AGENT.test(id)) {
      throw new ProxyError(
        'INVALID_PARAMS',
        `"${id.slice(0, 80)}" cannot name an agent. Use 1 to 32 letters, digits, hyphens and underscores.`,
      );
    }
    return this.#space(`agent ${id}`, () => new Space(this.#link.doorOf(id), this.#link));
  }

  /** The configured servers. */
  servers(): Promise<ServerView[]> {
    return this.#link.door.servers();
  }

  /** How many sessions there are in each state, how many run, and how many requests are under way. */
  stats(): Promise<Fields> {
    return this.#link.door.stats();
  }

  /** Pauses or closes what is due and deletes what is old, as the proxy does from time to time. */
  collect(): Promise<{ paused: number; deleted: number }> {
    return this.#link.door.collect();
  }

  /** In this process: stops the proxy and its servers, and keeps the sessions. Elsewhere: lets go of it. */
  async close(): Promise<void> {
    await this.#link[Symbol.asyncDispose]();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #space(key: string, make: () => Space): Space {
    const space = this.#spaces.get(key) ?? make();
    this.#spaces.set(key, space);
    return space;
  }
}
