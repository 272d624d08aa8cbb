import { expect, test } from 'vitest';
import { ProxyError } from '../../../src/errors.js';
import { Place, sessionRow, type Medium } from './medium.js';

export function writesTogether(medium: Medium): void {
  test('what is written is there when the promise resolves, and not before the turn is over', async () => {
    using place = new Place(medium);
    const { store } = place;
    const written = store.write(() => void store.sessions.insert(sessionRow('one')));
    expect(store.sessions.get('one')).toBeUndefined();
    await written;
    expect(store.sessions.get('one')).toBeDefined();
  });

  test('of a failing write nothing is stored, and the others of the same turn are', async () => {
    using place = new Place(medium);
    const { store } = place;
    const insert = (id: string) => void store.sessions.insert(sessionRow(id));
    const outcomes = await Promise.allSettled([
      store.write(() => insert('before')),
      store.write(() => {
        insert('half of it');
        throw new Error('the other half');
      }),
      store.write(() => insert('after')),
    ]);
    expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
    const stored = ['before', 'half of it', 'after'].map((id) => store.sessions.get(id)?.id);
    expect(stored).toEqual(['before', undefined, 'after']);
  });

  test('a write that fails alone leaves the store usable', async () => {
    using place = new Place(medium);
    const { store } = place;
    const failing = store.write(() => {
      throw new Error('no');
    });
    await expect(failing).rejects.toThrow();
    await store.write(() => void store.sessions.insert(sessionRow('one')));
    expect(store.sessions.get('one')).toBeDefined();
  });

  test('a failing write rejects with STORE_FAILED, the reason and the mend', async () => {
    using place = new Place(medium);
    const cause = new Error('disk full');
    const error: unknown = await place.store
      .write(() => {
        throw cause;
      })
      .catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(ProxyError);
    const { code, message, cause: given } = error as ProxyError;
    expect(code).toBe('STORE_FAILED');
    expect(message).toMatch(
      /^The store .+ could not be written: disk full\. Nothing was done; free space or mend the file and try again\.$/,
    );
    expect(given).toBe(cause);
  });

  test('writes take place in the order they were asked for, over turns as well', async () => {
    using place = new Place(medium);
    const { store } = place;
    const order: number[] = [];
    const writes: Promise<void>[] = [];
    for (let turn = 0; turn < 5; turn++) {
      for (let i = 0; i < 10; i++) writes.push(store.write(() => void order.push(turn * 10 + i)));
      await new Promise(setImmediate);
    }
    await Promise.all(writes);
    expect(order).toEqual(Array.from({ length: 50 }, (_, index) => index));
  });

  test('a write asked for when another is done is done as well', async () => {
    using place = new Place(medium);
    const { store } = place;
    const done: string[] = [];
    await Promise.all(
      ['a', 'b', 'c'].map(async (id) => {
        await store.write(() => void store.sessions.insert(sessionRow(id)));
        await store.write(() => store.sessions.setState(id, 'closed', null, 2));
        done.push(store.sessions.get(id)?.state ?? 'lost');
      }),
    );
    expect(done).toEqual(['closed', 'closed', 'closed']);
  });

  test('closing commits what waits', async () => {
    using place = new Place(medium);
    const written = place.store.write(() => void place.store.sessions.insert(sessionRow('late')));
    const { sessions } = place.reopen();
    await written;
    if (medium.lasting) expect(sessions.get('late')).toBeDefined();
  });

  test('ids are whole numbers from 1 below 2^31, each given once', () => {
    using place = new Place(medium);
    const ids = Array.from({ length: 10_000 }, () => place.store.nextId());
    expect(new Set(ids).size).toBe(ids.length);
    expect(ids.filter((id) => !Number.isInteger(id) || id < 1 || id >= 2 ** 31)).toEqual([]);
  });

  if (!medium.lasting) return;

  test('two who have the store open are never given the same id', () => {
    using place = new Place(medium);
    const stores = [place.store, place.another()];
    const ids = Array.from({ length: 20_000 }, (_, index) => stores[index % 2]?.nextId());
    expect(new Set(ids).size).toBe(ids.length);
  });

  test('ids go on where they were, however the process before ended', () => {
    using place = new Place(medium);
    const ids = [place.store.nextId(), place.another().nextId(), place.reopen().nextId()];
    expect(new Set(ids).size).toBe(3);
  });

  test('what one has written the other reads', async () => {
    using place = new Place(medium);
    const other = place.another();
    await Promise.all(
      ['a', 'b'].map((id) => place.store.write(() => void place.store.sessions.insert(sessionRow(id)))),
    );
    expect(['a', 'b'].map((id) => other.sessions.get(id)?.id)).toEqual(['a', 'b']);
    await other.write(() => other.sessions.touch('a', 77));
    expect(place.store.sessions.get('a')?.lastActiveAt).toBe(77);
  });
}
