import { randomBytes } from 'node:crypto';
import type { Clock } from '../clock.js';
import type { Remember } from '../downstream/remote-session.js';
import { messageOf, ProxyError } from '../errors.js';
import { log } from '../logger.js';
import { isFields, type Fields, type Id, type Notification, type Outcome } from '../protocol/messages.js';
import { cancelledError, type Asked, type Asking } from '../session/exchange.js';
import type { SentRequest, Store } from '../store/types.js';
import { CallNotes, type CallFacts, type LeftCall, type Ownership } from './left-calls.js';

/** Questions that a server asks at about the same time are put to the client together, milliseconds. */
const GATHER = 5;

/** How long a client may take to come back with its answers, milliseconds. */
const STATE_LIFETIME = 10 * 60_000;

/** A call that takes longer is remembered, for the next worker to cancel or to go on with, milliseconds. */
const LONG = 100;

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

/**
 * A call that goes on downstream while its client is away to answer a question. 2026-07-28 has no requests of servers:
 * the client gets `input_required`, and retries the call with the answers.
 */
export class HeldCall {
  readonly facts: CallFacts;
  readonly #calls: HeldCalls;
  readonly #notes: CallNotes;
  readonly #onabandon: () => void;
  readonly #questions = new Map<string, Question>();
  /** Questions of an earlier process, by the server's ids. */
  readonly #left = new Map<Id, Asking>();
  #count = 0;
  /** Where it is, and what its client is to bring back. */
  #sent: SentRequest | undefined;
  #state: string | undefined;
  /** One that takes no longer is not worth remembering. */
  #long = false;
  readonly #becomesLong: NodeJS.Timeout;
  #gathering: NodeJS.Timeout | undefined;
  #stream: RequestStream | undefined;
  #turn: ((told: Told) => void) | undefined;
  #outcome: Outcome | undefined;

  /**
   * @param onabandon takes the call back downstream
   * @param left what an earlier process left of it
   */
  constructor(calls: HeldCalls, facts: CallFacts, onabandon: () => void, left?: LeftCall) {
    this.#calls = calls;
    this.#notes = new CallNotes(calls.remember);
    this.facts = facts;
    this.#onabandon = onabandon;
    this.#becomesLong = setTimeout(() => this.#note(true), LONG).unref();
    this.#count = left?.asked ?? 0;
    for (const [key, asked] of left?.questions ?? []) {
      const asking = this.#put(key, asked);
      if (asked.id !== undefined) this.#left.set(asked.id, asking);
    }
  }

  /** The request is with a server; undefined when it is not any more. */
  sentTo(sent: SentRequest | undefined): void {
    this.#sent = sent;
    this.#note();
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
    this.#state = undefined;
    this.#note();
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
    clearTimeout(this.#becomesLong);
    this.#outcome = outcome;
    this.#notes.forget();
    if (this.#turn) this.#tell({ outcome, record });
    else this.#calls.keep(record);
  }

  ask(asked: Asked): Asking {
    const asking = this.#put(`input_${++this.#count}`, asked);
    this.#gather();
    return asking;
  }

  /** A question of the server that an earlier process put to the client. */
  takeUp(id: Id): Asking | undefined {
    return this.#left.get(id);
  }

  #put(key: string, asked: Asked): Asking {
    const answer = new Promise<Outcome>((resolve) => this.#questions.set(key, { asked, resolve }));
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
      const inputRequests = Object.fromEntries(
        [...this.#questions].map(([key, { asked }]) => [key, withoutId(asked)]),
      );
      const requestState = this.#calls.put(this);
      this.#tell({ outcome: { result: { resultType: 'input_required', inputRequests, requestState } } });
    }, GATHER);
  }

  /** Its client goes away, and is to bring that back. */
  leave(state: string): void {
    this.#state = state;
    this.#note(true);
  }

  #note(long = this.#long): void {
    this.#long = long;
    if (!this.#sent || this.#outcome) return this.#notes.forget();
    if (!long) return;
    this.#notes.put({
      ...this.facts,
      sent: this.#sent,
      state: this.#state,
      asked: this.#count,
      questions: [...this.#questions].map(([key, { asked }]) => [key, asked]),
    });
  }

  #tell(told: Told): void {
    this.#turn?.(told);
    this.#turn = undefined;
    this.#stream = undefined;
  }
}

function withoutId({ id: _, ...asked }: Asked): Asked {
  return asked;
}

/** Held calls by the `requestState` that their client is to bring back: random, good for one use and a while. */
export class HeldCalls {
  readonly remember: Remember;
  readonly #clock: Clock;
  readonly #store: Store;
  readonly #held = new Map<string, { call: HeldCall; stopTimer: () => void }>();

  constructor(clock: Clock, store: Store, remember: Remember) {
    this.remember = remember;
    this.#clock = clock;
    this.#store = store;
  }

  /** Stores what a call recorded whose client was away when it ended. */
  keep(record: (() => void) | undefined): void {
    if (record) this.#store.write(record).catch((error: unknown) => log.upstream.error(messageOf(error)));
  }

  /** @param state that its client has already */
  put(call: HeldCall, state = STATE_PREFIX + randomBytes(24).toString('base64url')): string {
    const stopTimer = this.#clock.after(STATE_LIFETIME, () => {
      if (this.#held.delete(state)) call.abandon();
    });
    this.#held.set(state, { call, stopTimer });
    call.leave(state);
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
    const { principal, session, request } = found?.call.facts.owned ?? {};
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
