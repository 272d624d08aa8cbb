import type { Clock } from '../clock.js';
import { log } from '../logger.js';
import { messageOf } from '../errors.js';
import type { Store } from '../store/types.js';
import type { Outbox } from './outbox.js';

/** Answers stay this long for clients that come back for them, milliseconds. */
const KEPT = 5 * 60_000;

/** Answers that nobody needs any more are deleted this many at a time. */
const BATCH = 256;

/** Streams of requests, from their first message until nobody can ask for them again. */
export class Answers {
  readonly #store: Store;
  readonly #clock: Clock;
  /** With when its end was first seen. */
  readonly #open = new Map<number, { outbox: Outbox; ended?: number }>();
  #done: number[] = [];
  #leftAt: number | undefined;

  constructor(store: Store, clock: Clock) {
    this.#store = store;
    this.#clock = clock;
    this.left();
  }

  /** Another process has died: its answers stay as long. */
  left(): void {
    this.#leftAt = this.#clock.steady();
  }

  add(outbox: Outbox): void {
    this.#open.set(outbox.stream, { outbox });
  }

  get(stream: number): Outbox | undefined {
    return this.#open.get(stream)?.outbox;
  }

  /** The client has certainly got everything of the stream, or wants nothing of it. */
  forget(stream: number): void {
    if (!this.#open.delete(stream)) return;
    this.#done.push(stream);
    if (this.#done.length >= BATCH) this.#delete();
  }

  sweep(): void {
    const before = this.#clock.steady() - KEPT;
    for (const [stream, entry] of this.#open) {
      if (entry.outbox.ended) entry.ended ??= this.#clock.steady();
      if (entry.ended !== undefined && entry.ended < before) this.forget(stream);
    }
    this.#delete();
    if (this.#leftAt === undefined || this.#leftAt >= before) return;
    this.#leftAt = undefined;
    this.#store.streams.deleteAbandoned();
  }

  #delete(): void {
    const done = this.#done;
    this.#done = [];
    if (done.length === 0) return;
    this.#store
      .write(() => this.#store.streams.delete(done))
      .catch((error: unknown) => log.session.warn(`Old answers could not be deleted: ${messageOf(error)}`));
  }
}
