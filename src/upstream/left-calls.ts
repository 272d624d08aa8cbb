import { randomUUID } from 'node:crypto';
import type { Remember } from '../downstream/remote-session.js';
import { messageOf } from '../errors.js';
import { log } from '../logger.js';
import type { Envelope } from '../protocol/modern.js';
import type { Asked } from '../session/exchange.js';
import type { SentRequest } from '../store/types.js';

/** Whose a held call is: only the same principal may go on with the same request in the same session. */
export interface Ownership {
  principal: string;
  session: string;
  /** Tells method and parameters, less what changes from try to try. */
  request: string;
}

/** A call of a client of 2026-07-28: what does not change while it is under way. */
export interface CallFacts {
  owned: Ownership;
  method: string;
  envelope: Envelope;
}

/** Such a call as one worker leaves it to the next. */
export interface LeftCall extends CallFacts {
  sent: SentRequest;
  /** What its client is to bring back; without it, it was not away, and its connection broke. */
  state?: string | undefined;
  /** How many questions it was asked, and those that wait for an answer, by their keys. */
  asked: number;
  questions: [string, Asked][];
}

const CALL = 'call ';

/** What is remembered of one call. */
export class CallNotes {
  readonly #key = CALL + randomUUID();
  readonly #remember: Remember;
  #known = false;

  constructor(remember: Remember) {
    this.#remember = remember;
  }

  put(call: LeftCall): void {
    this.#known = true;
    this.#remember(this.#key, JSON.stringify(call));
  }

  forget(): void {
    if (this.#known) this.#remember(this.#key, '');
    this.#known = false;
  }
}

/** Takes what an earlier worker had remembered of its calls. */
export function takeLeftCalls(remembered: ReadonlyMap<string, string>, remember: Remember): LeftCall[] {
  return [...remembered].flatMap(([key, text]) => {
    if (!key.startsWith(CALL)) return [];
    remember(key, '');
    try {
      return [JSON.parse(text) as LeftCall];
    } catch (error) {
      log.upstream.warn(messageOf(error));
      return [];
    }
  });
}
