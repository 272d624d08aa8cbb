import type { Id } from '../protocol/messages.js';
import type { Exchange } from './exchange.js';

/** One client's requests under way, by the ids it gave them: two may have the same. */
export class Running {
  readonly #exchanges = new Map<string, Set<Exchange>>();

  of(id: unknown): Exchange[] {
    return [...(this.#exchanges.get(JSON.stringify(id)) ?? [])];
  }

  /** @returns what is to be called when the request has ended */
  add(id: Id, exchange: Exchange): () => void {
    const key = JSON.stringify(id);
    const twins = this.#exchanges.get(key) ?? new Set();
    this.#exchanges.set(key, twins.add(exchange));
    return () => {
      twins.delete(exchange);
      if (twins.size === 0) this.#exchanges.delete(key);
    };
  }
}
