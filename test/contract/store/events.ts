import { expect, test } from 'vitest';
import type { Store } from '../../../src/store/types.js';
import { Place, type Medium } from './medium.js';

const KEEP = 5;

function append(store: Store, session: string, first: number, last: number): void {
  for (let seq = first; seq <= last; seq++) {
    store.events.append(session, 'main', { seq, at: 1000 + seq, type: 'call', data: `{"n":${seq}}` }, KEEP);
  }
}

function seqs(store: Store, session: string, limit = 100, after?: number): number[] {
  return store.events
    .last(session, 'main', limit, after === undefined ? {} : { after })
    .map(({ seq }) => seq);
}

export function keepsEvents(medium: Medium): void {
  test('events are read oldest first, as they were appended', () => {
    using place = new Place(medium);
    append(place.store, 'a', 1, 2);
    expect(place.store.events.last('a', 'main', 10)).toEqual([
      { seq: 1, at: 1001, type: 'call', data: '{"n":1}' },
      { seq: 2, at: 1002, type: 'call', data: '{"n":2}' },
    ]);
    expect(place.store.events.last('nobody', 'main', 10)).toEqual([]);
  });

  test('the last so many are read, and only those after a given one', () => {
    using place = new Place(medium);
    append(place.store, 'a', 1, 5);
    expect(seqs(place.store, 'a', 2)).toEqual([4, 5]);
    expect(seqs(place.store, 'a', 10, 3)).toEqual([4, 5]);
    expect(seqs(place.store, 'a', 1, 2)).toEqual([5]);
    expect(seqs(place.store, 'a', 10, 5)).toEqual([]);
  });

  test('events are read from a time on', () => {
    using place = new Place(medium);
    append(place.store, 'a', 1, 5);
    const from = (since: number) => place.store.events.last('a', 'main', 10, { since }).map(({ seq }) => seq);
    expect([from(0), from(1004), from(1006)]).toEqual([[1, 2, 3, 4, 5], [4, 5], []]);
    expect(place.store.events.last('a', 'main', 1, { since: 1002, after: 2 })[0]?.seq).toBe(5);
  });

  test('each track of a session has its own events and its own limit', () => {
    using place = new Place(medium);
    const { events } = place.store;
    append(place.store, 'a', 1, 7);
    events.append('a', 'notes', { seq: 1, at: 1, type: 'note', data: '{}' }, KEEP);
    expect(events.last('a', 'notes', 10).map(({ type }) => type)).toEqual(['note']);
    expect(seqs(place.store, 'a')).toEqual([3, 4, 5, 6, 7]);
    expect(events.last('a', 'other', 10)).toEqual([]);
  });

  test.each([0, 1, KEEP - 1, KEEP, KEEP + 1, 3 * KEEP, 3 * KEEP + 2])(
    'of %i events exactly the newest are kept',
    (count) => {
      using place = new Place(medium);
      append(place.store, 'a', 1, count);
      const first = Math.max(1, count - KEEP + 1);
      const kept = Array.from({ length: Math.min(count, KEEP) }, (_, index) => first + index);
      expect(seqs(place.store, 'a')).toEqual(kept);
    },
  );

  test('as many are kept when they are read in between', () => {
    using place = new Place(medium);
    for (let seq = 1; seq <= 12; seq++) {
      append(place.store, 'a', seq, seq);
      expect(seqs(place.store, 'a').at(-1)).toBe(seq);
    }
    expect(seqs(place.store, 'a')).toEqual([8, 9, 10, 11, 12]);
  });

  test('a thousand events of a hundred sessions are kept apart', () => {
    using place = new Place(medium);
    for (let seq = 1; seq <= 10; seq++)
      for (let session = 0; session < 100; session++) append(place.store, `s${session}`, seq, seq);
    const kept = new Set(
      Array.from({ length: 100 }, (_, session) => seqs(place.store, `s${session}`).join()),
    );
    expect([...kept]).toEqual(['6,7,8,9,10']);
  });

  test('an event of a write that fails is not there', async () => {
    using place = new Place(medium);
    const { store } = place;
    append(store, 'a', 1, 1);
    const failing = store.write(() => {
      append(store, 'a', 2, 2);
      throw new Error('no');
    });
    await expect(failing).rejects.toThrow();
    expect(seqs(store, 'a')).toEqual([1]);
  });

  if (medium.lasting) {
    test('exactly the newest are kept over restarts, however many come between them', () => {
      using place = new Place(medium);
      let seq = 0;
      for (const count of [3, 1, 7, 2, 5]) {
        append(place.store, 'a', seq + 1, seq + count);
        seq += count;
        place.reopen();
      }
      expect(seqs(place.store, 'a')).toEqual([14, 15, 16, 17, 18]);
    });

    test('after a restart the last event is found at once, so that the next takes the number after it', () => {
      using place = new Place(medium);
      append(place.store, 'a', 1, 4);
      place.reopen();
      expect(place.store.events.last('a', 'main', 1)[0]?.seq).toBe(4);
    });
  }
}
