import type { Clock } from '../clock.js';
import { formatDuration } from '../config/units.js';
import type { Fields, Id, Message, Outcome } from '../protocol/messages.js';
import type { Asking } from './exchange.js';

/** How long a client may take over an input request (people think), and over its list of roots (programs do not). */
const ANSWER_TIMEOUT = 10 * 60_000;
const ROOTS_TIMEOUT = 3000;

/** The questions of one server that wait for a client. */
export class Questions {
  readonly #clock: Clock;
  readonly #send: (message: Message) => void;
  /** Each with how to take it back. */
  readonly #open = new Map<Id, (reason: Fields) => void>();

  constructor(clock: Clock, send: (message: Message) => void) {
    this.#clock = clock;
    this.#send = send;
  }

  get size(): number {
    return this.#open.size;
  }

  /**
   * Gives the server the client's answer.
   * @param onend called when the question is over: by an answer, by the server's own cancellation, or by time
   */
  wait(id: Id, method: string | undefined, asking: Asking, onend: () => void): void {
    const limit = method === 'roots/list' ? ROOTS_TIMEOUT : ANSWER_TIMEOUT;
    /** @returns whether this was the first end of the question */
    const settle = (): boolean => {
      if (!this.#open.delete(id)) return false;
      stopTimer();
      onend();
      return true;
    };
    this.#open.set(id, (reason) => settle() && asking.cancel(reason));
    const stopTimer = this.#clock.after(limit, () => {
      if (!settle()) return;
      asking.cancel({ reason: 'timeout' });
      // A client that declares roots and never lists them must not stall its own calls.
      if (method === 'roots/list') this.answer(id, { result: { roots: [] } });
      else this.refuse(id, `The client did not answer within ${formatDuration(limit)}.`);
    });
    void asking.answer.then((outcome) => {
      if (settle()) this.answer(id, outcome);
    });
  }

  answer(id: Id, outcome: Outcome): void {
    this.#send({ jsonrpc: '2.0', id, ...outcome });
  }

  refuse(id: Id, message: string): void {
    this.answer(id, { error: { code: -32603, message } });
  }

  /** The client need not answer any more. */
  takeBack(id: Id, reason: Fields): void {
    this.#open.get(id)?.(reason);
  }

  end(reason: Fields): void {
    for (const takeBack of [...this.#open.values()]) takeBack(reason);
  }
}
