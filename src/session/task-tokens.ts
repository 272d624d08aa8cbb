import { isFields, type Id, type Outcome } from '../protocol/messages.js';
import type { Outlet } from './exchange.js';

/** Tasks whose progress tokens outlive their call. */
const MAX_TOKENS = 1000;

/** Whom progress under one of our tokens concerns, and under which token of its own. */
export interface Listening {
  outlet: Outlet;
  clientToken: Id;
}

/** 2025-11-25, tasks: a request's progress token stays valid until its task ends. */
export class TaskTokens {
  readonly #tokens = new Map<Id, Listening>();

  get(token: Id): Listening | undefined {
    return this.#tokens.get(token);
  }

  /** Keeps the token of a request whose outcome is a task. */
  keep(token: Id, listening: Listening | undefined, outcome: Outcome): void {
    if (!listening || !('result' in outcome) || !isFields(outcome.result.task)) return;
    this.#tokens.set(token, listening);
    for (const oldest of this.#tokens.keys()) {
      if (this.#tokens.size <= MAX_TOKENS) break;
      this.#tokens.delete(oldest);
    }
  }
}
