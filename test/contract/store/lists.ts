import { expect, test } from 'vitest';
import { Place, sessionRow, type Medium } from './medium.js';

export function listsSessions(medium: Medium): void {
  test('sessions are listed by last update, newest first, and page by page without gap or repetition', () => {
    using place = new Place(medium);
    const { sessions } = place.store;
    for (let i = 0; i < 10; i++) sessions.insert(sessionRow(`s${i}`, { updatedAt: Math.floor(i / 3) }));
    const all = sessions.list({ limit: 100 }).map(({ id }) => id);
    expect(all[0]).toBe('s9');
    expect(new Set(all).size).toBe(10);
    const paged: string[] = [];
    for (let page = sessions.list({ limit: 3 }); page.length > 0;) {
      paged.push(...page.map(({ id }) => id));
      const last = page.at(-1);
      page = sessions.list({ limit: 3, ...(last ? { after: last } : {}) });
    }
    expect(paged).toEqual(all);
  });

  test('a list is of those principals and those states alone', () => {
    using place = new Place(medium);
    const { sessions } = place.store;
    sessions.insert(sessionRow('a', { principal: 'ann', state: 'active' }));
    sessions.insert(sessionRow('b', { principal: 'ann', state: 'closed' }));
    sessions.insert(sessionRow('c', { principal: 'bob', state: 'active' }));
    const ids = (filter: Parameters<typeof sessions.list>[0]) =>
      sessions
        .list(filter)
        .map(({ id }) => id)
        .sort();
    expect(ids({ limit: 9 })).toEqual(['a', 'b', 'c']);
    expect(ids({ limit: 9, principals: ['ann'] })).toEqual(['a', 'b']);
    expect(ids({ limit: 9, principals: ['ann', 'bob'], states: ['active'] })).toEqual(['a', 'c']);
    expect(ids({ limit: 9, principals: [] })).toEqual([]);
    expect(ids({ limit: 9, states: ['error'] })).toEqual([]);
  });

  test('sessions are counted by state', () => {
    using place = new Place(medium);
    const { sessions } = place.store;
    for (const id of ['a', 'b']) sessions.insert(sessionRow(id));
    sessions.insert(sessionRow('c', { state: 'paused', principal: 'other' }));
    const counts = Object.fromEntries(sessions.counts().map(({ state, count }) => [state, count]));
    expect(counts).toEqual({ idle: 2, paused: 1 });
    expect(sessions.counts(['other'])).toEqual([{ state: 'paused', count: 1 }]);
  });

  test('a session takes another name unless an open one of its principal has it', () => {
    using place = new Place(medium);
    const { sessions } = place.store;
    sessions.insert(sessionRow('a', { name: 'taken' }));
    sessions.insert(sessionRow('b', { name: 'old' }));
    expect(sessions.setName('b', 'taken', 50)).toBe(false);
    expect(sessions.get('b')).toMatchObject({ name: 'old', updatedAt: 1 });
    expect(sessions.setName('b', 'new', 50)).toBe(true);
    expect(sessions.byName('local', 'new')).toMatchObject({ id: 'b', updatedAt: 50 });
    expect(sessions.byName('local', 'old')).toBeUndefined();
    expect(sessions.setName('b', null, 60)).toBe(true);
    sessions.setState('a', 'closed', null, 70);
    expect(sessions.setName('b', 'taken', 80)).toBe(true);
  });
}
