import { expect, test } from 'vitest';
import { setLogLevel } from '../../src/logger.js';
import { eventId, Outbox, parseEventId } from '../../src/session/outbox.js';
import { openSqliteStore } from '../../src/store/sqlite.js';
import type { Store, StreamHead } from '../../src/store/types.js';
import { FakeReader, numbered, numbers, send } from '../support/reader.js';

setLogLevel('silent');

const head: StreamHead = { attachment: 'hash', request: 1, method: 'tools/call', instance: 'this proxy' };

class Place implements Disposable {
  readonly store: Store = openSqliteStore(':memory:');
  [Symbol.dispose](): void {
    this.store.close();
  }
}

test('a reader gets every message in order, with ids that name stream and place', async () => {
  using place = new Place();
  const outbox = Outbox.open(place.store, head);
  const reader = new FakeReader();
  outbox.attach(reader, 0);
  await send(outbox, place.store, 1, 100);
  expect(reader.got).toEqual(numbers(100));
  expect(reader.ids).toEqual(numbers(100).map((seq) => eventId(outbox.stream, seq)));
  expect(reader.ends).toBe(0);
});

test('a message is in the store before it is with the reader', async () => {
  using place = new Place();
  const outbox = Outbox.open(place.store, head);
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
  const outbox = Outbox.open(store, head);
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
  const outbox = Outbox.open(place.store, head);
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
  const before = Outbox.open(place.store, head);
  await send(before, place.store, 1, 5);
  const after = Outbox.load(place.store, before.stream);
  const reader = new FakeReader();
  after.attach(reader, 3);
  await send(after, place.store, 6, 7, true);
  expect([reader.got, reader.ends]).toEqual([[4, 5, 6, 7], 1]);
  expect(reader.ids.at(-1)).toBe(eventId(before.stream, 7));
});

test('nothing is stored of a stream before its first message, or until it is to be kept', async () => {
  using place = new Place();
  const { streams } = place.store;
  const outbox = Outbox.open(place.store, head);
  expect(streams.head(outbox.stream)).toBeUndefined();
  await outbox.keep();
  await outbox.keep();
  expect(streams.head(outbox.stream)).toEqual(head);
  const other = Outbox.open(place.store, head);
  await send(other, place.store, 1, 1);
  expect(streams.head(other.stream)).toEqual(head);
});

test('of a stream without end the newest thousand messages are kept', async () => {
  using place = new Place();
  const outbox = Outbox.load(place.store, place.store.nextId());
  await send(outbox, place.store, 1, 1500);
  const reader = new FakeReader();
  outbox.attach(reader, 0);
  expect(reader.got).toEqual(numbers(1500, 501));
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
