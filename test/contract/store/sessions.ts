import { expect, test } from 'vitest';
import { Place, sessionRow, type Medium } from './medium.js';

export function keepsSessions(medium: Medium): void {
  test('a session is found as it was stored, an unknown one not at all', () => {
    using place = new Place(medium);
    const { sessions } = place.store;
    const row = sessionRow('ses_1', {
      name: 'näme "quoted"',
      state: 'active',
      temporary: true,
      instance: 'proxy-1',
      settings: '{"logLevel":"debug"}',
      createdAt: 1_700_000_000_000,
      updatedAt: 1_700_000_000_001,
      lastActiveAt: 1_700_000_000_002,
    });
    expect(sessions.insert(row)).toBe(true);
    expect(sessions.get('ses_1')).toEqual(row);
    expect(sessions.get('ses_2')).toBeUndefined();
  });

  test('a name is unique among the open sessions of a principal, and a second one is not stored', () => {
    using place = new Place(medium);
    const { sessions } = place.store;
    const first = sessionRow('first', { name: 'work' });
    expect(sessions.insert(first)).toBe(true);
    expect(sessions.insert(sessionRow('second', { name: 'work' }))).toBe(false);
    expect(sessions.get('second')).toBeUndefined();
    expect(sessions.byName('local', 'work')).toEqual(first);
    expect(sessions.byName('other', 'work')).toBeUndefined();
  });

  test('two principals may use one name, and many sessions may have none', () => {
    using place = new Place(medium);
    const { sessions } = place.store;
    const rows = [
      sessionRow('a', { name: 'work' }),
      sessionRow('b', { name: 'work', principal: 'other' }),
      sessionRow('c'),
      sessionRow('d'),
    ];
    expect(rows.map((row) => sessions.insert(row))).toEqual([true, true, true, true]);
    expect(sessions.byName('other', 'work')?.id).toBe('b');
  });

  test('a closed session leaves its name to the next and is itself still found by its id', () => {
    using place = new Place(medium);
    const { sessions } = place.store;
    sessions.insert(sessionRow('old', { name: 'work' }));
    sessions.setState('old', 'closed', null, 2);
    expect(sessions.byName('local', 'work')).toBeUndefined();
    expect(sessions.insert(sessionRow('new', { name: 'work' }))).toBe(true);
    expect(sessions.byName('local', 'work')?.id).toBe('new');
    expect(sessions.get('old')?.state).toBe('closed');
  });

  test('an id is given once', () => {
    using place = new Place(medium);
    const { sessions } = place.store;
    expect(sessions.insert(sessionRow('one', { settings: '{"kept":1}' }))).toBe(true);
    expect(sessions.insert(sessionRow('one'))).toBe(false);
    expect(sessions.get('one')?.settings).toBe('{"kept":1}');
  });

  test('state, settings and last use change one by one', () => {
    using place = new Place(medium);
    const { sessions } = place.store;
    sessions.insert(sessionRow('one'));
    sessions.setState('one', 'active', 'proxy-1', 20);
    sessions.setSettings('one', '{"a":1}', 25);
    sessions.touch('one', 30);
    expect(sessions.get('one')).toEqual(
      sessionRow('one', {
        state: 'active',
        instance: 'proxy-1',
        settings: '{"a":1}',
        updatedAt: 25,
        lastActiveAt: 30,
      }),
    );
  });

  test('the sessions of a dead proxy are paused and told, those of another are left alone', () => {
    using place = new Place(medium);
    const { sessions } = place.store;
    sessions.insert(sessionRow('a', { state: 'active', instance: 'dead' }));
    sessions.insert(sessionRow('b', { state: 'error', instance: 'dead' }));
    sessions.insert(sessionRow('c', { state: 'active', instance: 'alive' }));
    sessions.insert(sessionRow('d', { state: 'paused' }));
    expect(sessions.releaseOf('dead', 50).sort()).toEqual(['a', 'b']);
    const states = ['a', 'b', 'c', 'd'].map((id) => [sessions.get(id)?.state, sessions.get(id)?.instance]);
    expect(states).toEqual([
      ['paused', null],
      ['paused', null],
      ['active', 'alive'],
      ['paused', null],
    ]);
    expect(sessions.get('a')?.updatedAt).toBe(50);
    expect(sessions.releaseOf('dead', 60)).toEqual([]);
  });

  test('old sessions are deleted a few at a time, those that a proxy holds are not', () => {
    using place = new Place(medium);
    const { sessions } = place.store;
    for (const id of ['a', 'b', 'c']) sessions.insert(sessionRow(id, { lastActiveAt: 99 }));
    sessions.insert(sessionRow('just in time', { lastActiveAt: 100 }));
    sessions.insert(sessionRow('held', { lastActiveAt: 1, instance: 'alive' }));
    const gone = [...sessions.purge(100, 2), ...sessions.purge(100, 2), ...sessions.purge(100, 2)];
    expect(gone.sort()).toEqual(['a', 'b', 'c']);
    expect(sessions.get('a')).toBeUndefined();
    expect(sessions.get('just in time')).toBeDefined();
    expect(sessions.get('held')).toBeDefined();
  });

  test('with an old session goes all that belongs to it, and nothing of another', () => {
    using place = new Place(medium);
    const { sessions, attachments, bindings, streams, events } = place.store;
    for (const [index, id] of ['old', 'young'].entries()) {
      const stream = 100 + index;
      sessions.insert(sessionRow(id, { lastActiveAt: id === 'old' ? 1 : 1000 }));
      attachments.insert({
        id: `key-${id}`,
        session: id,
        client: '{}',
        owner: true,
        stream,
        createdAt: 1,
        usedAt: 1,
      });
      bindings.put({ owner: id, server: 'one', generation: 3, ended: null });
      bindings.see(id, 'one', 3);
      streams.append(stream, 1, '{}', false, 1);
      events.append(id, 'main', { seq: 1, at: 1, type: 't', data: '{}' }, 10);
      // Read once, as sessions do before their first event.
      expect(events.last(id, 'main', 10)).toHaveLength(1);
    }
    expect(sessions.purge(500, 10)).toEqual(['old']);
    const left = (id: string, stream: number) => [
      sessions.get(id)?.id,
      attachments.get(`key-${id}`)?.session,
      bindings.get(id, 'one')?.generation,
      bindings.seen(id).length,
      streams.tail(stream).seq,
      events.last(id, 'main', 10).length,
    ];
    expect(left('old', 100)).toEqual([undefined, undefined, undefined, 0, 0, 0]);
    expect(left('young', 101)).toEqual(['young', 'young', 3, 1, 1, 1]);
  });

  test('with an old session go also events that nobody has read', () => {
    using place = new Place(medium);
    const { sessions, events } = place.store;
    sessions.insert(sessionRow('old'));
    events.append('old', 'main', { seq: 1, at: 1, type: 't', data: '{}' }, 10);
    sessions.purge(500, 10);
    expect(events.last('old', 'main', 10)).toEqual([]);
  });

  test('an attachment is found by its key’s hash, introduces itself anew and leaves', () => {
    using place = new Place(medium);
    const { attachments } = place.store;
    const row = {
      id: 'hash',
      session: 'ses_1',
      client: '{"a":1}',
      owner: true,
      stream: 7,
      createdAt: 5,
      usedAt: 5,
    };
    attachments.insert(row);
    attachments.insert({ ...row, id: 'guest', owner: false });
    expect(attachments.get('hash')).toEqual(row);
    expect(attachments.get('guest')?.owner).toBe(false);
    attachments.setClient('hash', '{"b":2}');
    expect(attachments.get('hash')).toEqual({ ...row, client: '{"b":2}' });
    attachments.delete('hash');
    expect(attachments.get('hash')).toBeUndefined();
    expect(attachments.get('guest')).toBeDefined();
  });

  test('attachments that were not used for long leave with their streams', () => {
    using place = new Place(medium);
    const { attachments, streams } = place.store;
    for (const [index, id] of ['old', 'used', 'new'].entries()) {
      const usedAt = id === 'new' ? 50 : 5;
      attachments.insert({
        id,
        session: 's',
        client: '{}',
        owner: false,
        stream: index + 1,
        createdAt: 5,
        usedAt,
      });
      streams.append(index + 1, 1, '{}', false, 1);
    }
    attachments.touch('used', 40);
    attachments.expire(30, 10);
    expect(['old', 'used', 'new'].filter((id) => attachments.get(id))).toEqual(['used', 'new']);
    expect([1, 2, 3].map((stream) => streams.read(stream, 0, 9).length)).toEqual([0, 1, 1]);
  });

  test('a principal can do without closed sessions, then without those of no name and no servers', () => {
    using place = new Place(medium);
    const { sessions } = place.store;
    sessions.insert(sessionRow('named', { name: 'work', lastActiveAt: 1 }));
    sessions.insert(sessionRow('runs', { state: 'active', instance: 'proxy-1', lastActiveAt: 2 }));
    sessions.insert(sessionRow('younger', { lastActiveAt: 4 }));
    sessions.insert(sessionRow('older', { state: 'paused', lastActiveAt: 3 }));
    sessions.insert(sessionRow('closed', { state: 'closed', lastActiveAt: 9 }));
    sessions.insert(sessionRow('other', { principal: 'other', lastActiveAt: 0 }));
    expect(sessions.count('local')).toBe(5);
    const left: string[] = [];
    for (let id = sessions.dispensable('local'); id !== undefined; id = sessions.dispensable('local')) {
      left.push(id);
      sessions.delete(id);
    }
    expect(left).toEqual(['closed', 'older', 'younger']);
  });

  test('sessions without servers are due by their age, or by their own settings, or the configured ones', () => {
    using place = new Place(medium);
    const { sessions } = place.store;
    const own = (settings: object) => ({
      createdAt: 100,
      lastActiveAt: 100,
      settings: JSON.stringify(settings),
    });
    sessions.insert(sessionRow('aged', { createdAt: 10, lastActiveAt: 199 }));
    sessions.insert(sessionRow('by default', own({})));
    sessions.insert(sessionRow('pauses', own({ onTimeout: 'pause' })));
    sessions.insert(sessionRow('closes', { ...own({ onTimeout: 'close' }), state: 'paused' }));
    sessions.insert(sessionRow('long', own({ onTimeout: 'close', ttl: 101 })));
    sessions.insert(sessionRow('extended', own({ onTimeout: 'close', extended: { at: 200, ms: 1 } })));
    sessions.insert(
      sessionRow('runs', { ...own({ onTimeout: 'close' }), state: 'active', instance: 'proxy-1' }),
    );
    sessions.insert(sessionRow('closed', { ...own({ onTimeout: 'close' }), state: 'closed' }));
    const due = (onTimeout: 'pause' | 'close') =>
      sessions.due({ now: 200, ttl: 100, onTimeout, bornBefore: 50 }, 10).sort();
    expect(due('pause')).toEqual(['aged', 'closes']);
    expect(due('close')).toEqual(['aged', 'by default', 'closes']);
    expect(sessions.due({ now: 200, ttl: 100, onTimeout: 'close', bornBefore: 50 }, 1)).toHaveLength(1);
  });

  test('a binding is its last generation, and each session has seen one of each server', () => {
    using place = new Place(medium);
    const { bindings } = place.store;
    expect(bindings.get('ses_1', 'one')).toBeUndefined();
    bindings.put({ owner: 'ses_1', server: 'one', generation: 1, ended: null });
    bindings.put({ owner: 'ses_1', server: 'one', generation: 2, ended: 'exited with code 1' });
    bindings.put({ owner: 'ses_1', server: 'two', generation: 9, ended: null });
    expect(bindings.get('ses_1', 'one')).toEqual({
      owner: 'ses_1',
      server: 'one',
      generation: 2,
      ended: 'exited with code 1',
    });
    for (const generation of [1, 2]) bindings.see('ses_1', 'one', generation);
    bindings.see('ses_1', 'two', 9);
    bindings.see('ses_2', 'one', 5);
    expect(bindings.seen('ses_1')).toEqual([
      { server: 'one', generation: 2 },
      { server: 'two', generation: 9 },
    ]);
  });

  test('a server’s description is remembered by its configuration', () => {
    using place = new Place(medium);
    const { servers } = place.store;
    expect(servers.description('key')).toBeUndefined();
    servers.setDescription('key', '{"v":1}', 1);
    servers.setDescription('key', '{"v":2}', 2);
    expect(servers.description('key')).toBe('{"v":2}');
    expect(servers.description('other')).toBeUndefined();
  });

  if (medium.lasting) {
    test('everything is there when the store is opened again', () => {
      using place = new Place(medium);
      const row = sessionRow('one', { name: 'work', state: 'paused' });
      place.store.sessions.insert(row);
      place.store.bindings.put({ owner: 'one', server: 's', generation: 4, ended: null });
      const { sessions, bindings } = place.reopen();
      expect(sessions.byName('local', 'work')).toEqual(row);
      expect(bindings.get('one', 's')?.generation).toBe(4);
    });

    test('a name is unique also over two who have the store open', () => {
      using place = new Place(medium);
      const other = place.another();
      expect(place.store.sessions.insert(sessionRow('a', { name: 'work' }))).toBe(true);
      expect(other.sessions.insert(sessionRow('b', { name: 'work' }))).toBe(false);
      expect(other.sessions.byName('local', 'work')?.id).toBe('a');
    });
  }

  test('a hint leads where it was led last, and only from where the caller saw it lead', () => {
    using place = new Place(medium);
    const { hints } = place.store;
    expect(hints.get('local', 'chat')).toBeUndefined();
    expect(hints.replace('local', 'chat', undefined, 'one')).toBe(true);
    expect(hints.replace('local', 'chat', undefined, 'two')).toBe(false);
    expect(hints.get('local', 'chat')).toBe('one');
    expect(hints.get('other', 'chat')).toBeUndefined();
    expect(hints.replace('local', 'chat', 'one', 'two')).toBe(true);
    expect(hints.get('local', 'chat')).toBe('two');
  });

  test('a hint goes with the session it leads to', () => {
    using place = new Place(medium);
    const { sessions, hints } = place.store;
    sessions.insert(sessionRow('one'));
    hints.replace('local', 'chat', undefined, 'one');
    sessions.delete('one');
    expect(hints.get('local', 'chat')).toBeUndefined();
  });
}
