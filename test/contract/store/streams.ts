import { expect, test } from 'vitest';
import type { StreamHead } from '../../../src/store/types.js';
import { Place, type Medium } from './medium.js';

const head = (request: string | number, instance = 'dead'): StreamHead => ({
  attachment: 'hash',
  request,
  method: 'tools/call',
  instance,
});

const limits = (messages: number, bytes = Infinity, before = 0) => ({ messages, bytes, before });

const mark = { pid: 1, started: 'boot/1' };

export function keepsStreams(medium: Medium): void {
  test('messages are read in order, after any of them and at most so many', () => {
    using place = new Place(medium);
    const { streams } = place.store;
    for (const seq of [1, 2, 3, 4, 5]) streams.append(7, seq, `{"n":${seq}}`, false, 1);
    streams.append(8, 1, '{"other":1}', false, 1);
    expect(streams.read(7, 0, 3)).toEqual([
      { seq: 1, data: '{"n":1}' },
      { seq: 2, data: '{"n":2}' },
      { seq: 3, data: '{"n":3}' },
    ]);
    expect(streams.read(7, 3, 10).map(({ seq }) => seq)).toEqual([4, 5]);
    expect(streams.read(7, 5, 10)).toEqual([]);
    expect(streams.read(9, 0, 10)).toEqual([]);
  });

  test('what is stored comes back byte by byte', () => {
    using place = new Place(medium);
    const { streams } = place.store;
    const data = JSON.stringify({ text: '\u0000 \n " \\ 😀 \u2028', deep: { __proto__x: null } });
    streams.append(1, 1, data, false, 1);
    expect(streams.read(1, 0, 1)).toEqual([{ seq: 1, data }]);
  });

  test('a message is stored once', () => {
    using place = new Place(medium);
    const { streams } = place.store;
    streams.append(1, 1, '"first"', false, 1);
    expect(() => streams.append(1, 1, '"again"', false, 1)).toThrow();
    expect(streams.read(1, 0, 10)).toEqual([{ seq: 1, data: '"first"' }]);
  });

  test('the tail is the highest message and whether it is the last', () => {
    using place = new Place(medium);
    const { streams } = place.store;
    expect(streams.tail(1)).toEqual({ seq: 0, last: false });
    streams.append(1, 1, '{}', false, 1);
    expect(streams.tail(1)).toEqual({ seq: 1, last: false });
    streams.append(1, 2, '{}', true, 1);
    expect(streams.tail(1)).toEqual({ seq: 2, last: true });
  });

  test('an opened stream has a head and no message yet', () => {
    using place = new Place(medium);
    const { streams } = place.store;
    streams.open(1, head('a'));
    expect(streams.head(1)).toEqual(head('a'));
    expect(streams.tail(1)).toEqual({ seq: 0, last: false });
    expect(streams.read(1, 0, 10)).toEqual([]);
    streams.append(1, 1, '{}', true, 1);
    expect(streams.head(1)).toEqual(head('a'));
    expect(streams.read(1, 0, 10)).toEqual([{ seq: 1, data: '{}' }]);
  });

  test('a stream that was not opened gets its head with the first message', () => {
    using place = new Place(medium);
    const { streams } = place.store;
    streams.append(1, 1, '{}', true, 1, head(0));
    expect(streams.head(1)).toEqual(head(0));
    expect(streams.read(1, 0, 10)).toEqual([{ seq: 1, data: '{}' }]);
  });

  test('a stream that belongs to no request has no head', () => {
    using place = new Place(medium);
    place.store.streams.append(1, 1, '{}', false, 1);
    expect(place.store.streams.head(1)).toBeUndefined();
  });

  test('trimming leaves the newest messages of that stream alone', () => {
    using place = new Place(medium);
    const { streams } = place.store;
    for (let seq = 1; seq <= 10; seq++)
      for (const stream of [1, 2]) streams.append(stream, seq, '{}', false, 1);
    streams.trim(1, limits(3));
    expect(streams.read(1, 0, 100).map(({ seq }) => seq)).toEqual([8, 9, 10]);
    expect(streams.tail(1)).toEqual({ seq: 10, last: false });
    expect(streams.read(2, 0, 100)).toHaveLength(10);
    streams.trim(1, limits(3));
    streams.trim(1, limits(100));
    expect(streams.read(1, 0, 100)).toHaveLength(3);
  });

  test('trimming forgets messages of a request but not what the stream is for', () => {
    using place = new Place(medium);
    const { streams } = place.store;
    streams.open(1, head('a'));
    for (let seq = 1; seq <= 10; seq++) streams.append(1, seq, '{}', false, 1);
    streams.trim(1, limits(2));
    expect(streams.head(1)).toEqual(head('a'));
    expect(streams.read(1, 0, 100).map(({ seq }) => seq)).toEqual([9, 10]);
  });

  test('what is stored for too long or takes too much room is trimmed, oldest first, but never the newest', () => {
    using place = new Place(medium);
    const { streams } = place.store;
    const kept = () => streams.read(1, 0, 100).map(({ seq }) => seq);
    for (let seq = 1; seq <= 10; seq++) streams.append(1, seq, 'ä'.repeat(5), false, seq);
    streams.trim(1, limits(100, 80));
    expect(kept()).toEqual([3, 4, 5, 6, 7, 8, 9, 10]);
    streams.trim(1, limits(100, 1e9, 5));
    expect(kept()).toEqual([5, 6, 7, 8, 9, 10]);
    streams.trim(1, limits(1), 7);
    expect(kept()).toEqual([8, 9, 10]);
    streams.trim(1, limits(100, 1, 100));
    expect(kept()).toEqual([10]);
  });

  test('old messages go from the streams of clients, some clients at a time', () => {
    using place = new Place(medium);
    const { streams, attachments } = place.store;
    for (const stream of [1, 2, 3, 4]) {
      const row = { session: 's', client: '{}', owner: true, createdAt: 1, usedAt: 1 };
      if (stream < 4) attachments.insert({ ...row, id: `client ${stream}`, stream });
      for (let seq = 1; seq <= 3; seq++) streams.append(stream, seq, '{}', false, seq);
    }
    const kept = () => [1, 2, 3, 4].map((stream) => streams.read(stream, 0, 9).length);
    const next = streams.expire(3, { after: '', limit: 2, except: [2] });
    expect(kept()).toEqual([1, 3, 3, 3]);
    expect(streams.expire(9, { after: next, limit: 2, except: [] })).toBe('');
    expect(kept()).toEqual([1, 3, 1, 3]);
  });

  test('several streams are deleted at once, and none by an empty list', () => {
    using place = new Place(medium);
    const { streams } = place.store;
    for (const stream of [1, 2, 3]) streams.append(stream, 1, '{}', false, 1);
    streams.delete([]);
    streams.delete([1, 3, 99]);
    expect([1, 2, 3].map((stream) => streams.tail(stream).seq)).toEqual([0, 1, 0]);
  });

  test('unanswered are requests of a dead proxy without a last message, and those alone', () => {
    using place = new Place(medium);
    const { streams, processes } = place.store;
    processes.registerInstance('alive', mark, 1);
    streams.open(1, head('opened'));
    streams.append(2, 1, '{}', false, 1, head('with a notification'));
    streams.append(3, 1, '{}', true, 1, head('answered'));
    streams.open(4, head('opened and answered'));
    streams.append(4, 1, '{}', true, 1);
    streams.open(5, head('under way', 'alive'));
    streams.append(6, 1, '{}', false, 1); // no request
    expect(streams.unanswered()).toEqual([
      { stream: 1, head: head('opened') },
      { stream: 2, head: head('with a notification') },
    ]);
  });

  test('a request is abandoned once its proxy is no more', () => {
    using place = new Place(medium);
    const { streams, processes } = place.store;
    processes.registerInstance('leaving', mark, 1);
    streams.open(1, head('a', 'leaving'));
    expect(streams.unanswered()).toEqual([]);
    processes.removeInstance('leaving');
    expect(streams.unanswered().map(({ stream }) => stream)).toEqual([1]);
  });

  test('abandoned streams are deleted whole, those of living proxies and of no request stay', () => {
    using place = new Place(medium);
    const { streams, processes } = place.store;
    processes.registerInstance('alive', mark, 1);
    streams.open(1, head('a'));
    for (const seq of [1, 2]) streams.append(1, seq, '{}', seq === 2, 1);
    streams.open(2, head('b', 'alive'));
    streams.append(2, 1, '{}', false, 1);
    streams.append(3, 1, '{}', false, 1);
    streams.deleteAbandoned();
    expect([1, 2, 3].map((stream) => streams.tail(stream).seq)).toEqual([0, 1, 1]);
    expect(streams.head(1)).toBeUndefined();
  });

  if (medium.lasting) {
    test('a stream goes on where it was when the store is opened again', () => {
      using place = new Place(medium);
      place.store.streams.open(1, head('a'));
      place.store.streams.append(1, 1, '{}', false, 1);
      const { streams } = place.reopen();
      expect(streams.tail(1)).toEqual({ seq: 1, last: false });
      expect(streams.head(1)).toEqual(head('a'));
    });
  }
}
