import { expect, test } from 'vitest';
import { setLogLevel } from '../../src/logger.js';
import { openSqliteStore } from '../../src/store/sqlite.js';
import type { Store, StreamHead } from '../../src/store/types.js';
import { FakeReader, numbers, outboxes, send } from '../support/reader.js';

setLogLevel('silent');

const head: StreamHead = { attachment: 'hash', request: 1, method: 'tools/call', instance: 'this proxy' };

class Place implements Disposable {
  readonly store: Store = openSqliteStore(':memory:');
  [Symbol.dispose](): void {
    this.store.close();
  }
}

test('a reader that comes back gets all after the message it has', async () => {
  using place = new Place();
  const outbox = outboxes(place.store).open(head);
  const first = new FakeReader();
  outbox.attach(first, 0);
  await send(outbox, place.store, 1, 50);
  outbox.detach(first);
  await send(outbox, place.store, 51, 120);
  expect(first.got).toEqual(numbers(50));
  for (const after of [0, 30, 50, 119, 120]) {
    const again = new FakeReader();
    outbox.attach(again, after);
    expect(again.got).toEqual(numbers(120, after + 1));
  }
});

test('a reader that names no message gets what nobody has got yet', async () => {
  using place = new Place();
  const outbox = outboxes(place.store).open(head);
  const first = new FakeReader();
  outbox.attach(first, 0);
  await send(outbox, place.store, 1, 3);
  outbox.detach(first);
  await send(outbox, place.store, 4, 6);
  const second = new FakeReader();
  outbox.attach(second);
  expect(second.got).toEqual([4, 5, 6]);
});

test('a slow reader gets everything out of the store, at its own pace', async () => {
  using place = new Place();
  const outbox = outboxes(place.store).open(head);
  const reader = new FakeReader();
  reader.room = 2;
  outbox.attach(reader, 0);
  await send(outbox, place.store, 1, 200);
  expect(reader.got).toEqual([1, 2]);
  for (let seen = 2; seen < 200; seen = reader.got.length) {
    reader.room = 7;
    outbox.resume(reader);
    expect(reader.got.length).toBeGreaterThan(seen);
    expect(reader.got.length).toBeLessThanOrEqual(seen + 7);
  }
  expect(reader.got).toEqual(numbers(200));
});

test('a slow reader that is caught up hears new messages again', async () => {
  using place = new Place();
  const outbox = outboxes(place.store).open(head);
  const reader = new FakeReader();
  reader.room = 1;
  outbox.attach(reader, 0);
  await send(outbox, place.store, 1, 5);
  reader.room = Infinity;
  outbox.resume(reader);
  await send(outbox, place.store, 6, 8);
  expect(reader.got).toEqual(numbers(8));
});

test('a slow reader is ended after the last message and not before it', async () => {
  using place = new Place();
  const outbox = outboxes(place.store).open(head);
  const reader = new FakeReader();
  reader.room = 1;
  outbox.attach(reader, 0);
  await send(outbox, place.store, 1, 10, true);
  expect([reader.got, reader.ends]).toEqual([[1], 0]);
  reader.room = Infinity;
  outbox.resume(reader);
  expect([reader.got, reader.ends]).toEqual([numbers(10), 1]);
});

test('a second reader takes over: the first is ended, and nothing is missed or doubled', async () => {
  using place = new Place();
  const outbox = outboxes(place.store).open(head);
  const [first, second] = [new FakeReader(), new FakeReader()];
  outbox.attach(first, 0);
  await send(outbox, place.store, 1, 3);
  outbox.attach(second);
  await send(outbox, place.store, 4, 6);
  expect([first.got, first.ends]).toEqual([[1, 2, 3], 1]);
  expect([second.got, second.ends]).toEqual([[4, 5, 6], 0]);
  // The first one's late words are not the second's affair.
  outbox.detach(first);
  outbox.resume(first);
  await send(outbox, place.store, 7, 7);
  expect(second.got).toEqual([4, 5, 6, 7]);
});

test('the stream ends with its last message, and for whoever comes later', async () => {
  using place = new Place();
  const outbox = outboxes(place.store).open(head);
  const reader = new FakeReader();
  outbox.attach(reader, 0);
  await send(outbox, place.store, 1, 3, true);
  expect([reader.got, reader.ends, outbox.ended, outbox.read]).toEqual([[1, 2, 3], 1, true, false]);
  for (const [after, rest] of [
    [0, [1, 2, 3]],
    [2, [3]],
    [3, []],
  ] as const) {
    const late = new FakeReader();
    outbox.attach(late, after);
    expect([late.got, late.ends]).toEqual([rest, 1]);
  }
});

test('a stream of more than one page ends for a late reader after its last message', async () => {
  using place = new Place();
  const outbox = outboxes(place.store).open(head);
  for (const count of [31, 32, 33, 64, 96]) {
    const stream = outboxes(place.store).open(head);
    await send(stream, place.store, 1, count, true);
    const late = new FakeReader();
    stream.attach(late, 0);
    expect([late.got, late.ends]).toEqual([numbers(count), 1]);
  }
  expect(outbox.ended).toBe(false);
});
