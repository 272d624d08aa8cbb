import { randomBytes } from 'node:crypto';
import type { Clock } from '../clock.js';
import { messageOf, ProxyError } from '../errors.js';
import { log } from '../logger.js';
import { isFields, type Fields, type Notification, type Outcome } from '../protocol/messages.js';
import { cancelledError, type Asked, type Asking } from '../session/exchange.js';
import type { Store } from '../store/types.js';

/** Questions that a server asks at about the same time are put to the client together, milliseconds. */
const GATHER = 5;

/** How long a client may take to come back with its answers, milliseconds. */
const STATE_LIFETIME = 10 * 60_000;

/** Marks a `requestState` as ours; one without it is a server's own and passes through. */
const STATE_PREFIX = 'msp1.';

/** Stands before the state of a server that could be mistaken for ours: another proxy like this one made it. */
const SERVERS_PREFIX = 'msp0.';

/** A server's result whose state, if it asks for input, is told from ours. */
export function withMarkedState(result: Fields): Fields {
  const { requestState } = result;
  const alike = typeof requestState === 'string' && /^msp[01]\./.test(requestState);
  return alike ? { ...result, requestState: SERVERS_PREFIX + requestState } : result;
}

/** The params of a retry with the server's state as it was. */
export function withBareState(params: Fields | undefined): Fields | undefined {
  const state = params?.requestState;
  if (typeof state !== 'string' || !state.startsWith(SERVERS_PREFIX)) return params;
  return { ...params, requestState: state.slice(SERVERS_PREFIX.length) };
}

/** Where what belongs to a request goes until its answer. */
export interface RequestStream {
  send(message: Notification): void;
}

/** What a client is told: what it is asked, or how its call ended. */
export interface Told {
  outcome: Outcome;
  /** Writes what must be stored before the client is told. */
  record?: (() => void) | undefined;
}

interface Question {
  asked: Asked;
  resolve: (outcome: Outcome) => void;
}

/** Whose a held call is: only the same principal may go on with the same request in the same session. */
export interface Ownership {
  principal: string;
  session: string;
  /** Method and parameters, less what changes from try to try. */
  request: string;
}

/**
 * A call that goes on downstream while its client is away to answer a question. 2026-07-28 has no requests of servers:
 * the client gets `input_required`, and retries the call with the answers.
 */
export class HeldCall {
  readonly owned: Ownership;
  readonly #calls: HeldCalls;
  readonly #onabandon: () => void;
  readonly #questions = new Map<string, Question>();
  #count = 0;
  #gathering: NodeJS.Timeout | undefined;
  #stream: RequestStream | undefined;
  #turn: ((told: Told) => void) | undefined;
  #outcome: Outcome | undefined;

  /** @param onabandon takes the call back downstream */
  constructor(calls: HeldCalls, owned: Ownership, onabandon: () => void) {
    this.#calls = calls;
    this.owned = owned;
    this.#onabandon = onabandon;
  }

  /** Gives the call up, and whoever waits for its client. */
  readonly abandon = (): void => {
    this.#onabandon();
    const gone = { error: cancelledError().toJsonRpc() };
    for (const { resolve } of this.#questions.values()) resolve(gone);
    this.#questions.clear();
  };

  /** Waits for what the client is to be told next; until then `stream` takes what belongs to the call. */
  next(stream: RequestStream): Promise<Told> {
    return new Promise((resolve) => {
      this.#stream = stream;
      this.#turn = resolve;
      if (this.#outcome) this.#tell({ outcome: this.#outcome });
      else this.#gather();
    });
  }

  /** Tells the client of it, unless it is away; nothing but an answer waits for it. */
  notify(notification: Notification): void {
    this.#stream?.send(notification);
  }

  finish(outcome: Outcome, record: (() => void) | undefined): void {
    clearTimeout(this.#gathering);
    this.#outcome = outcome;
    if (this.#turn) this.#tell({ outcome, record });
    else this.#calls.keep(record);
  }

  ask(asked: Asked): Asking {
    const key = `input_${++this.#count}`;
    const answer = new Promise<Outcome>((resolve) => this.#questions.set(key, { asked, resolve }));
    this.#gather();
    return { answer, cancel: () => this.#questions.delete(key) };
  }

  /** Takes what the client answered; what is missing is asked again. */
  answer(responses: Fields): void {
    for (const [key, response] of Object.entries(responses)) {
      const question = this.#questions.get(key);
      // 2026-07-28: keys that nobody asked for SHOULD be ignored; what is no answer is asked again.
      if (!question || !isFields(response)) continue;
      this.#questions.delete(key);
      question.resolve({ result: response });
    }
  }

  #gather(): void {
    if (this.#questions.size === 0 || !this.#turn) return;
    this.#gathering ??= setTimeout(() => {
      this.#gathering = undefined;
      if (!this.#turn || this.#questions.size === 0) return;
      const inputRequests = Object.fromEntries([...this.#questions].map(([key, { asked }]) => [key, asked]));
      const requestState = this.#calls.put(this);
      this.#tell({ outcome: { result: { resultType: 'input_required', inputRequests, requestState } } });
    }, GATHER);
  }

  #tell(told: Told): void {
    this.#turn?.(told);
    this.#turn = undefined;
    this.#stream = undefined;
  }
}

/** Held calls by the `requestState` that their client is to bring back: random, good for one use and a while. */
export class HeldCalls {
  readonly #clock: Clock;
  readonly #store: Store;
  readonly #held = new Map<string, { call: HeldCall; stopTimer: () => void }>();

  constructor(clock: Clock, store: Store) {
    this.#clock = clock;
    this.#store = store;
  }

  /** Stores what a call recorded whose client was away when it ended. */
  keep(record: (() => void) | undefined): void {
    if (record) this.#store.write(record).catch((error: unknown) => log.upstream.error(messageOf(error)));
  }

  put(call: HeldCall): string {
    const state = STATE_PREFIX + randomBytes(24).toString('base64url');
    const stopTimer = this.#clock.after(STATE_LIFETIME, () => {
      if (this.#held.delete(state)) call.abandon();
    });
    this.#held.set(state, { call, stopTimer });
    return state;
  }

  /** Gives up all calls whose client is away. */
  close(): void {
    for (const { call, stopTimer } of this.#held.values()) {
      stopTimer();
      call.abandon();
    }
    this.#held.clear();
  }

  /**
   * The call that a retry goes on with; its state is used up.
   * @returns undefined for a request that is no retry of a held call
   * @throws {ProxyError} INVALID_PARAMS for a state of ours that is unknown, used, too old or another's: all are alike
   */
  take(params: Fields | undefined, owned: Ownership): HeldCall | undefined {
    const state = params?.requestState;
    if (typeof state !== 'string' || !state.startsWith(STATE_PREFIX)) return undefined;
    const found = this.#held.get(state);
    const { principal, session, request } = found?.call.owned ?? {};
    if (!found || principal !== owned.principal || session !== owned.session || request !== owned.request) {
      throw new ProxyError(
        'INVALID_PARAMS',
        'This requestState is unknown, used already, too old, or belongs to another request. Look what the call did before you repeat it without one.',
      );
    }
    if (params?.inputResponses !== undefined && !isFields(params.inputResponses)) {
      throw new ProxyError('INVALID_PARAMS', 'inputResponses must be an object of answers by key.');
    }
    this.#held.delete(state);
    found.stopTimer();
    return found.call;
  }
}
