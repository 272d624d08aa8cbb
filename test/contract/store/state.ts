import { expect, test } from 'vitest';
import { Place, sessionRow, type Medium } from './medium.js';

export function keepsState(medium: Medium): void {
  test('a value is kept with a version that grows by one with each change', () => {
    using place = new Place(medium);
    const { state } = place.store;
    expect(state.get('session', 'ses_1', 'key')).toBeUndefined();
    expect(state.put('session', 'ses_1', 'key', '{"a":"ä😀"}', 10)).toBe(1);
    expect(state.put('session', 'ses_1', 'key', '2', 20)).toBe(2);
    expect(state.get('session', 'ses_1', 'key')).toEqual({
      key: 'key',
      value: '2',
      version: 2,
      updatedAt: 20,
    });
  });

  test('levels and owners are kept apart', () => {
    using place = new Place(medium);
    const { state } = place.store;
    state.put('app', '', 'key', '"app"', 1);
    state.put('user', 'ann', 'key', '"ann"', 1);
    state.put('user', 'bob', 'key', '"bob"', 1);
    state.put('session', 'ann', 'key', '"session"', 1);
    const values = [
      state.get('app', '', 'key'),
      state.get('user', 'ann', 'key'),
      state.get('user', 'bob', 'key'),
      state.get('session', 'ann', 'key'),
    ].map((row) => row?.value);
    expect(values).toEqual(['"app"', '"ann"', '"bob"', '"session"']);
    expect(state.get('session', 'bob', 'key')).toBeUndefined();
  });

  test('a list is in the order of its keys', () => {
    using place = new Place(medium);
    const { state } = place.store;
    for (const key of ['b', 'a', 'c/d']) state.put('user', 'ann', key, '1', 1);
    expect(state.list('user', 'ann').map(({ key }) => key)).toEqual(['a', 'b', 'c/d']);
    expect(state.list('user', 'bob')).toEqual([]);
  });

  test('a value is replaced only where the expected version stands', () => {
    using place = new Place(medium);
    const { state } = place.store;
    expect(state.put('app', '', 'key', '1', 1, 1)).toBeUndefined();
    expect(state.get('app', '', 'key')).toBeUndefined();
    expect(state.put('app', '', 'key', '1', 1, 0)).toBe(1);
    expect(state.put('app', '', 'key', '2', 1, 0)).toBeUndefined();
    expect(state.put('app', '', 'key', '2', 1, 1)).toBe(2);
    expect(state.put('app', '', 'key', '3', 1, 1)).toBeUndefined();
    expect(state.get('app', '', 'key')).toMatchObject({ value: '2', version: 2 });
  });

  test('a value is deleted only in the expected version', () => {
    using place = new Place(medium);
    const { state } = place.store;
    state.put('app', '', 'key', '1', 1);
    expect(state.delete('app', '', 'key', 2)).toBe(false);
    expect(state.delete('app', '', 'key', 1)).toBe(true);
    expect(state.delete('app', '', 'key')).toBe(false);
    state.put('app', '', 'key', '1', 1);
    expect(state.delete('app', '', 'key')).toBe(true);
  });

  test('what nobody changed since is deleted, of one level alone', () => {
    using place = new Place(medium);
    const { state } = place.store;
    for (const level of ['user', 'app'] as const) {
      state.put(level, 'o', 'old', '1', 99);
      state.put(level, 'o', 'young', '1', 100);
    }
    expect(state.expire('user', 100)).toBe(1);
    expect(state.list('user', 'o').map(({ key }) => key)).toEqual(['young']);
    expect(state.list('app', 'o')).toHaveLength(2);
  });

  test('a session’s state is copied to another, and each goes its own way', () => {
    using place = new Place(medium);
    const { state } = place.store;
    state.put('session', 'from', 'a', '1', 1);
    state.put('session', 'from', 'a', '2', 1);
    state.put('user', 'from', 'not this', '1', 1);
    state.copy('from', 'to', 50);
    expect(state.list('session', 'to')).toEqual([{ key: 'a', value: '2', version: 1, updatedAt: 50 }]);
    state.put('session', 'to', 'a', '3', 60);
    expect(state.get('session', 'from', 'a')?.value).toBe('2');
  });

  test('snapshots are numbered by name, and the latest is loaded unless another is named', () => {
    using place = new Place(medium);
    const { snapshots } = place.store;
    expect(snapshots.load('ses_1', 'login')).toBeUndefined();
    expect([1, 2].map((n) => snapshots.save('ses_1', 'login', `${n}`, n))).toEqual([1, 2]);
    expect(snapshots.save('ses_1', 'other', '"o"', 5)).toBe(1);
    expect(snapshots.save('ses_2', 'login', '"elsewhere"', 6)).toBe(1);
    expect(snapshots.load('ses_1', 'login')).toEqual({
      name: 'login',
      revision: 2,
      value: '2',
      createdAt: 2,
    });
    expect(snapshots.load('ses_1', 'login', 1)?.value).toBe('1');
    expect(snapshots.load('ses_1', 'login', 3)).toBeUndefined();
    expect(snapshots.list('ses_1', 'login').map(({ revision }) => revision)).toEqual([1, 2]);
    expect(snapshots.list('ses_1').map(({ name, revision }) => [name, revision])).toEqual([
      ['login', 2],
      ['other', 1],
    ]);
  });

  test('a session is shared with principals, or with everybody, under an alias', () => {
    using place = new Place(medium);
    const { shares } = place.store;
    shares.put('ses_1', 'ann', 'work');
    shares.put('ses_2', '*', 'work');
    shares.put('ses_1', 'ann', 'renamed');
    expect(shares.byAlias('renamed')).toEqual([{ session: 'ses_1', principal: 'ann' }]);
    expect(shares.byAlias('work')).toEqual([{ session: 'ses_2', principal: '*' }]);
    expect(['ann', 'bob'].map((who) => shares.includes('ses_1', who))).toEqual([true, false]);
    expect(['ann', 'bob'].map((who) => shares.includes('ses_2', who))).toEqual([true, true]);
  });

  test('with a session go its state, snapshots and shares, and nothing of its principal', () => {
    using place = new Place(medium);
    const { sessions, state, snapshots, shares } = place.store;
    for (const id of ['gone', 'kept']) {
      sessions.insert(sessionRow(id));
      state.put('session', id, 'key', '1', 1);
      snapshots.save(id, 'snapshot', '1', 1);
      shares.put(id, 'ann', id);
    }
    state.put('user', 'local', 'key', '1', 1);
    sessions.delete('gone');
    const left = (id: string) => [
      sessions.get(id)?.id,
      state.list('session', id).length,
      snapshots.list(id).length,
      shares.byAlias(id).length,
    ];
    expect([left('gone'), left('kept')]).toEqual([
      [undefined, 0, 0, 0],
      ['kept', 1, 1, 1],
    ]);
    expect(state.get('user', 'local', 'key')).toBeDefined();
  });

  if (!medium.lasting) return;

  test('of two who change one value at once the one who read an old version is refused', () => {
    using place = new Place(medium);
    const other = place.another();
    expect(place.store.state.put('app', '', 'key', '"a"', 1, 0)).toBe(1);
    expect(other.state.put('app', '', 'key', '"b"', 1, 0)).toBeUndefined();
    expect(other.state.put('app', '', 'key', '"b"', 1, 1)).toBe(2);
    expect(place.store.state.get('app', '', 'key')?.value).toBe('"b"');
  });
}
