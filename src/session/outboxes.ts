import type { Clock } from '../clock.js';
import type { Remember } from '../downstream/remote-session.js';
import type { SessionsConfig } from '../config/sessions.js';
import type { Arrived } from './exchange.js';
import type { Store, StreamHead, StreamLimits } from '../store/types.js';
import { Outbox } from './outbox.js';

/** Streams are trimmed after so many messages, or when this part of a limit is new; not at each message. */
const TRIM_EVERY = 100;
const TRIM_PART = 10;

/** Clients whose streams a sweep looks at. */
const SWEPT_AT_ONCE = 500;

/** Where the keeper remembers answers, and the largest it is burdened with, characters. */
const ANSWER = 'answer ';
const LARGEST_KEPT = 64 * 1024;

/** All streams to clients, and how much is kept of each. */
export class Outboxes {
  readonly store: Store;
  readonly clock: Clock;
  /** Those that somebody reads just now. */
  readonly read = new Set<Outbox>();
  readonly #config: SessionsConfig['outbox'];
  readonly #remember: Remember;
  readonly #waiting = new Map<number, Outbox>();
  #sweptTo = '';

  constructor(store: Store, clock: Clock, config: SessionsConfig['outbox'], remember: Remember = () => {}) {
    this.#remember = remember;
    this.store = store;
    this.clock = clock;
    this.#config = config;
  }

  /** A new stream for a request. Nothing is stored of it before its first message, or until `keep`. */
  open(head: StreamHead): Outbox {
    return new Outbox(this, this.store.nextId(), { seq: 0, last: false }, head);
  }

  /** A stream as it stands in the store; one without messages is empty. */
  load(stream: number): Outbox {
    const waiting = this.#waiting.get(stream);
    this.#waiting.delete(stream);
    return waiting ?? new Outbox(this, stream, this.store.streams.tail(stream), undefined);
  }

  /** As `load`; the same one is given to whoever loads the stream next. */
  await(stream: number): Outbox {
    const outbox = this.load(stream);
    this.#waiting.set(stream, outbox);
    return outbox;
  }

  /** Has the next worker know the answer that is due on a stream; undefined when it is stored. */
  arrived(stream: number, answer: Arrived | undefined): void {
    const text = answer ? JSON.stringify(answer) : '';
    const kept = text.length > LARGEST_KEPT ? JSON.stringify({ id: answer?.id }) : text;
    this.#remember(ANSWER + stream, kept);
  }

  /** Takes the answers that an earlier worker got and did not store, by their streams. */
  takeArrived(remembered: ReadonlyMap<string, string>): Map<number, Arrived> {
    const taken = new Map<number, Arrived>();
    for (const [key, text] of remembered) {
      if (!key.startsWith(ANSWER)) continue;
      const stream = Number(key.slice(ANSWER.length));
      this.arrived(stream, undefined);
      taken.set(stream, JSON.parse(text) as Arrived);
    }
    return taken;
  }

  /** What may be left of a stream now. @param times how many times as much as is configured */
  limits(times: number): StreamLimits {
    const { messages, bytes, age } = this.#config;
    return { messages: messages * times, bytes: bytes * times, before: this.clock.ago(age * times) };
  }

  /** @param since what came since the last time */
  isWorthTrimming(since: { messages: number; bytes: number }): boolean {
    const { messages, bytes } = this.#config;
    return since.messages >= Math.min(TRIM_EVERY, messages / TRIM_PART) || since.bytes >= bytes / TRIM_PART;
  }

  /** Takes away what has grown too old without anything new; some streams at a time. */
  sweep(): void {
    const slow = [...this.read].filter(({ behind }) => behind);
    for (const outbox of slow) outbox.trim();
    const slice = { after: this.#sweptTo, limit: SWEPT_AT_ONCE, except: slow.map(({ stream }) => stream) };
    this.#sweptTo = this.store.streams.expire(this.limits(1).before, slice);
  }
}
