import type { Message } from '../../src/protocol/messages.js';
import { configSchema } from '../../src/config/schema.js';
import type { SessionsConfig } from '../../src/config/sessions.js';
import type { Outbox, Reader } from '../../src/session/outbox.js';
import { Outboxes } from '../../src/session/outboxes.js';
import type { Store } from '../../src/store/types.js';
import { ManualClock } from './clock.js';

/** The streams of a store, kept as by default but for what is given. */
export function outboxes(
  store: Store,
  limits: Partial<SessionsConfig['outbox']> = {},
  clock = new ManualClock(),
): Outboxes {
  return new Outboxes(store, clock, { ...configSchema.parse({}).sessions.outbox, ...limits });
}

/** A connection that takes so many events and then has its buffer full. */
export class FakeReader implements Reader {
  /** Numbers of the messages it was given. */
  readonly got: number[] = [];
  readonly ids: string[] = [];
  ends = 0;
  /** How many more it takes. */
  room = Infinity;

  event(id: string, data: string): boolean {
    if (this.ends > 0) throw new Error('written after the end');
    this.#take(id, data);
    this.room -= 1;
    return this.room > 0;
  }

  end(id?: string, data?: string): void {
    if (id !== undefined && data !== undefined) this.#take(id, data);
    this.ends += 1;
  }

  #take(id: string, data: string): void {
    this.ids.push(id);
    this.got.push((JSON.parse(data) as { params: { n: number } }).params.n);
  }
}

export function numbered(n: number): Message {
  return { jsonrpc: '2.0', method: 'n', params: { n } };
}

/** From `first` to `last`. */
export function numbers(last: number, first = 1): number[] {
  return Array.from({ length: last - first + 1 }, (_, index) => first + index);
}

/** Sends messages of these numbers and waits until they are stored. @param ending whether the stream ends with the last */
export async function send(
  outbox: Outbox,
  store: Store,
  first: number,
  last: number,
  ending = false,
): Promise<void> {
  for (const n of numbers(last, first)) outbox.send(numbered(n), { last: ending && n === last });
  await store.write(() => {});
}
