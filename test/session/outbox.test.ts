import { expect, test } from 'vitest';
import { setLogLevel } from '../../src/logger.js';
import { eventId, parseEventId } from '../../src/session/outbox.js';
import { openSqliteStore } from '../../src/store/sqlite.js';
import type { Store, StreamHead } from '../../src/store/types.js';
import { ManualClock } from '../support/clock.js';
import { FakeReader, numbered, numbers, outboxes, send } from '../support/reader.js';

setLogLevel('silent');

const head: StreamHead = { attachment: 'hash', request: 1, method: 'tools/call', instance: 'this proxy' };

class Place implements Disposable {
  readonly store: Store = openSqliteStore(':memory:');

  /** A client whose own stream it is. */
  attach(stream: number): void {
    const row = {
      id: `client of ${stream}`,
      session: 's',
      client: '{}',
      owner: true,
      createdAt: 1,
      usedAt: 1,
    };
    this.store.attachments.insert({ ...row, stream });
  }

  [Symbol.dispose](): void {
    this.store.close();
  }
}

test('a reader gets every message in order, with ids that name stream and place', async () => {
  using place = new Place();
  const outbox = outboxes(place.store).open(head);
  const reader = new FakeReader();
  outbox.attach(reader, 0);
  await send(outbox, place.store, 1, 100);
  expect(reader.got).toEqual(numbers(100));
  expect(reader.ids).toEqual(numbers(100).map((seq) => eventId(outbox.stream, seq)));
  expect(reader.ends).toBe(0);
});

test('a message is in the store before it is with the reader', async () => {
  using place = new Place();
  const outbox = outboxes(place.store).open(head);
  const stored: number[] = [];
  outbox.attach(
    {
      event: () => (stored.push(place.store.streams.tail(outbox.stream).seq), true),
      end: () => stored.push(place.store.streams.tail(outbox.stream).seq),
    },
    0,
  );
  outbox.send(numbered(1));
  await place.store.write(() => {});
  outbox.send(numbered(2), { last: true });
  await place.store.write(() => {});
  expect(stored).toEqual([1, 2]);
});

test('what is recorded with a message is stored with it, or neither is', async () => {
  using place = new Place();
  const { store } = place;
  const outbox = outboxes(store).open(head);
  outbox.send(numbered(1), { record: () => store.servers.setDescription('key', '{}', 1) });
  await store.write(() => {});
  expect([store.streams.tail(outbox.stream).seq, store.servers.description('key')]).toEqual([1, '{}']);
  const failing = () => {
    store.servers.setDescription('other', '{}', 1);
    throw new Error('no');
  };
  outbox.send(numbered(2), { record: failing });
  await store.write(() => {});
  expect([store.streams.tail(outbox.stream).seq, store.servers.description('other')]).toEqual([1, undefined]);
});

test('a message that cannot be stored reaches the reader all the same', async () => {
  using place = new Place();
  const outbox = outboxes(place.store).open(head);
  const reader = new FakeReader();
  outbox.attach(reader, 0);
  const failing = () => {
    throw new Error('no');
  };
  outbox.send(numbered(1), { record: failing, last: true });
  await place.store.write(() => {});
  expect([reader.got, reader.ends]).toEqual([[1], 1]);
});

test('a stream goes on from the store as if nothing had been', async () => {
  using place = new Place();
  const before = outboxes(place.store).open(head);
  await send(before, place.store, 1, 5);
  const after = outboxes(place.store).load(before.stream);
  const reader = new FakeReader();
  after.attach(reader, 3);
  await send(after, place.store, 6, 7, true);
  expect([reader.got, reader.ends]).toEqual([[4, 5, 6, 7], 1]);
  expect(reader.ids.at(-1)).toBe(eventId(before.stream, 7));
});

test('nothing is stored of a stream before its first message, or until it is to be kept', async () => {
  using place = new Place();
  const { streams } = place.store;
  const outbox = outboxes(place.store).open(head);
  expect(streams.head(outbox.stream)).toBeUndefined();
  await outbox.keep();
  await outbox.keep();
  expect(streams.head(outbox.stream)).toEqual(head);
  const other = outboxes(place.store).open(head);
  await send(other, place.store, 1, 1);
  expect(streams.head(other.stream)).toEqual(head);
});

test('of a stream without end the newest thousand messages are kept', async () => {
  using place = new Place();
  const outbox = outboxes(place.store).load(place.store.nextId());
  await send(outbox, place.store, 1, 1500);
  const reader = new FakeReader();
  outbox.attach(reader, 0);
  expect(reader.got).toEqual(numbers(1500, 501));
});

test('of a stream whose messages are large so many are kept as the limit in bytes allows', async () => {
  using place = new Place();
  const one = JSON.stringify(numbered(100)).length;
  const outbox = outboxes(place.store, { bytes: 20 * one }).load(place.store.nextId());
  await send(outbox, place.store, 101, 200);
  const reader = new FakeReader();
  outbox.attach(reader, 0);
  // Trimmed whenever a tenth of the limit is new.
  expect(reader.got.at(-1)).toBe(200);
  expect(reader.got.length).toBeGreaterThanOrEqual(20);
  expect(reader.got.length).toBeLessThanOrEqual(22);
});

test('messages that grew old go with the sweep, but for the newest, so that numbers never start again', async () => {
  using place = new Place();
  const clock = new ManualClock();
  const all = outboxes(place.store, { age: 60_000 }, clock);
  const stream = place.store.nextId();
  place.attach(stream);
  const outbox = all.load(stream);
  await send(outbox, place.store, 1, 10);
  await clock.advance(30_000);
  await send(outbox, place.store, 11, 12);
  await clock.advance(30_001);
  all.sweep();
  const heard = () => {
    const reader = new FakeReader();
    all.load(stream).attach(reader, 0);
    return reader.got;
  };
  expect(heard()).toEqual([11, 12]);
  await clock.advance(600_000);
  all.sweep();
  expect(heard()).toEqual([12]);
  const later = all.load(stream);
  await send(later, place.store, 13, 13);
  const reader = new FakeReader();
  later.attach(reader, 12);
  expect(reader.ids).toEqual([eventId(stream, 13)]);
});

test('a reader that is connected and slow loses nothing before ten times the limits', async () => {
  using place = new Place();
  const clock = new ManualClock();
  const all = outboxes(place.store, { messages: 10, age: 60_000 }, clock);
  const stream = place.store.nextId();
  place.attach(stream);
  const outbox = all.load(stream);
  const reader = new FakeReader();
  reader.room = 1;
  outbox.attach(reader, 0);
  await send(outbox, place.store, 1, 100);
  await clock.advance(300_000);
  all.sweep();
  reader.room = Infinity;
  outbox.resume(reader);
  expect(reader.got).toEqual(numbers(100));

  reader.room = 1;
  await send(outbox, place.store, 101, 300);
  reader.room = Infinity;
  outbox.resume(reader);
  expect(reader.got).toEqual([...numbers(101), ...numbers(300, 201)]);
});

test('event ids are read back, and what is none is not', () => {
  for (const [stream, seq] of [
    [0, 0],
    [1, 1],
    [35, 36],
    [2 ** 31 - 1, 123_456_789],
  ] as const)
    expect(parseEventId(eventId(stream, seq))).toEqual({ stream, seq });
  for (const text of [
    '',
    '1',
    '-',
    '1-',
    '-1',
    'A-1',
    '1-1-1',
    '1_1',
    ' 1-1',
    '1-1\n',
    'x'.repeat(8) + '-1',
    '1.5-1',
  ])
    expect(parseEventId(text)).toBeUndefined();
});
