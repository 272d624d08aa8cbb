import { describe, expect, test } from 'vitest';
import type { SessionHandle } from '../../src/index.js';
import { codeOf, openHere, places, TemporaryFolder } from './support/places.js';

class Cart {
  readonly items: readonly string[];

  constructor(items: readonly string[]) {
    this.items = items;
  }

  static fromJson(value: unknown): Cart {
    if (!Array.isArray(value)) throw new Error('no cart');
    return new Cart(value.map(String));
  }
}

describe.each(places)('%s', (_, open) => {
  const openSession = async (place: Awaited<ReturnType<typeof open>>): Promise<SessionHandle> =>
    place.proxy.forAgent('alice').createSession('work');

  test('a value is set, read, merged and deleted, and a version makes sure that nobody was in between', async () => {
    await using place = await open();
    const { state } = await openSession(place);
    expect([await state.get('page'), await state.entry('page')]).toEqual([undefined, undefined]);
    expect(await state.set('page', { at: 1 }, { version: 0 })).toBe(1);
    expect(await codeOf(state.set('page', 2, { version: 0 }))).toBe('STATE_CONFLICT');
    expect(await state.merge('page', { of: { book: 9 } })).toEqual({
      value: { at: 1, of: { book: 9 } },
      version: 2,
    });
    expect(await state.merge('page', { of: { shelf: 3 } }, { version: 2 })).toMatchObject({
      value: { at: 1, of: { book: 9, shelf: 3 } },
    });
    expect(await codeOf(state.delete('page', { version: 1 }))).toBe('STATE_CONFLICT');
    await state.set('nothing', null);
    expect(await state.all()).toEqual({ page: { at: 1, of: { book: 9, shelf: 3 } }, nothing: null });
    expect(await state.get('nothing')).toBeNull();
    expect([await state.delete('page'), await state.delete('page')]).toEqual([true, false]);
    expect(await codeOf(state.set('a b', 1))).toBe('STATE_KEY_INVALID');
  });

  test('what was stored is read as what the program works with', async () => {
    await using place = await open();
    const { state } = await openSession(place);
    await state.set('cart', ['tea']);
    const cart = await state.get('cart', (value) => Cart.fromJson(value));
    expect(cart?.items).toEqual(['tea']);
    expect(await state.get('none', (value) => Cart.fromJson(value))).toBeUndefined();
    await state.set('cart', 7);
    await expect(state.get('cart', (value) => Cart.fromJson(value))).rejects.toThrow('no cart');
  });

  test('T1 reading all merges the levels; another agent sees what is everybody’s, and writes nothing of it', async () => {
    await using place = await open();
    const store = await place.proxy.forStore().createSession('store');
    await store.state.set('app:motto', 'calm');
    const { state } = await openSession(place);
    await state.set('user:tone', 'dry');
    await state.set('temp:draft', true);
    await state.set('page', 7);
    expect(await state.all()).toEqual({
      'app:motto': 'calm',
      'user:tone': 'dry',
      'temp:draft': true,
      page: 7,
    });
    const other = await place.proxy.forAgent('alice').createSession('other');
    expect(await other.state.all()).toEqual({ 'app:motto': 'calm', 'user:tone': 'dry' });
  });

  test('T19 of twenty who ask for a value at once one makes it, and all get it', async () => {
    await using place = await open();
    const session = await openSession(place);
    let made = 0;
    const init = async () => {
      await new Promise((resolve) => setTimeout(resolve, 20));
      return [`made ${++made}`];
    };
    const handles = await Promise.all(
      Array.from({ length: 20 }, () => place.proxy.forAgent('alice').findSession('work')),
    );
    const values = await Promise.all(handles.map(async (handle) => handle?.state.getOrInit('cart', init)));
    expect(values).toEqual(Array(20).fill(['made 1']));
    const cart = await session.state.getOrInit('cart', init, (value) => Cart.fromJson(value));
    expect([cart.items, made]).toEqual([['made 1'], 1]);
  });

  test('T19 what fails to be made is made by the next who asks, and the first value stays', async () => {
    await using place = await open();
    const { state } = await openSession(place);
    const failing = () => Promise.reject(new Error('not today'));
    await expect(state.getOrInit('cart', failing)).rejects.toThrow('not today');
    const slow = state.getOrInit('cart', async () => {
      await state.set('cart', 'first');
      return 'second';
    });
    expect(await slow).toBe('first');
    expect(await state.get('cart')).toBe('first');
  });

  test('T20 what comes after the close is refused and leaves nothing behind', async () => {
    await using place = await open();
    const session = await openSession(place);
    await session.state.set('page', 1);
    await session.appendEvent('mine', 'early', { page: 1 });
    expect(await session.events({ track: 'mine' })).toMatchObject([
      { seq: 1, type: 'early', data: { page: 1 } },
    ]);
    const before = await session.events();
    const late = [session.close(), session.state.set('page', 2), session.appendEvent('mine', 'late')];
    await Promise.allSettled(late);
    expect(await codeOf(session.state.set('page', 3))).toBe('SESSION_CLOSED');
    expect((await session.events()).slice(before.length)).toMatchObject([
      { type: 'state', data: { to: 'closed' } },
    ]);
    await session.close({ purge: true });
    expect(await codeOf(session.events())).toBe('SESSION_NOT_FOUND');
  });

  test('S1 S2 two modules are saved and loaded, saving one keeps the other, and every revision stays', async () => {
    await using place = await open();
    const session = await openSession(place);
    const first = await session.saveState('agent', { mood: 'calm' });
    await session.saveState('memory', ['hello']);
    expect(await session.loadStates(['agent', 'memory'])).toEqual({
      agent: { mood: 'calm' },
      memory: ['hello'],
    });
    await place.clock.forward(1000);
    const second = await session.saveState('agent', { mood: 'glad' });
    expect([first.revision, second.revision]).toEqual([1, 2]);
    expect(Date.parse(second.createdAt)).toBeGreaterThan(Date.parse(first.createdAt));
    expect(await session.savedStates('agent')).toEqual([first, second]);
    expect((await session.savedStates()).map(({ name, revision }) => [name, revision])).toEqual([
      ['agent', 2],
      ['memory', 1],
    ]);
    expect(await session.loadState('agent', { revision: 1 })).toEqual({ mood: 'calm' });
    expect(await session.loadState('memory')).toEqual(['hello']);
  });

  test('S3 S4 a module that is missing is passed over, or fails where it must be there', async () => {
    await using place = await open();
    const session = await openSession(place);
    await session.saveState('agent', null);
    expect(await session.loadState('memory')).toBeUndefined();
    expect(await codeOf(session.loadState('memory', { allowNotExist: false }))).toBe('STATE_NOT_FOUND');
    expect(await session.loadStates(['agent', 'memory'])).toEqual({ agent: null });
    expect(await codeOf(session.loadStates(['agent', 'memory'], { strict: true }))).toBe('STATE_NOT_FOUND');
    await session.close({ purge: true });
    expect(await codeOf(session.loadState('memory'))).toBe('SESSION_NOT_FOUND');
  });

  test('S5 what JSON cannot hold is refused with its place, unless it is converted', async () => {
    await using place = await open();
    const session = await openSession(place);
    const wrong = session.saveState('agent', { plan: [{ when: new Date(0) }] });
    expect(await codeOf(wrong)).toBe('STATE_VALUE_INVALID');
    await expect(wrong).rejects.toThrow(/agent\.plan\[0\]\.when is a Date/);
    for (const value of [Number.NaN, new Cart([]), () => 1, { gap: undefined }])
      expect(await codeOf(session.state.set('key', value))).toBe('STATE_VALUE_INVALID');
    await session.saveState('cart', new Cart(['tea']), ({ items }) => items);
    const cart = await session.loadState('cart', { fromJson: (value) => Cart.fromJson(value) });
    expect(cart?.items).toEqual(['tea']);
  });

  test('S15 a rollback makes the state what it was, revision by revision', async () => {
    await using place = await open();
    const session = await openSession(place);
    await session.state.set('page', 1);
    await session.saveState('before');
    await session.state.set('page', 2);
    await session.state.set('more', true);
    await session.saveState('before');
    expect(await session.rollback('before', 1)).toEqual({ page: 1 });
    expect(await session.state.all()).toEqual({ page: 1 });
    expect(await session.rollback('before')).toEqual({ page: 2, more: true });
    expect(await codeOf(session.rollback('never'))).toBe('STATE_NOT_FOUND');
  });

  test('T4 T11 events are read by number and by time and followed as they happen', async () => {
    await using place = await open();
    const session = await openSession(place);
    const heard: string[] = [];
    const stop = await session.follow(({ type }) => void heard.push(type));
    await session.useTool('increment');
    await place.clock.forward(5000);
    const since = place.clock.now();
    await session.useTool('get');
    const events = await session.events();
    expect(events.map(({ type }) => type)).toEqual(['created', 'state', 'call', 'call']);
    expect(events.map(({ seq }) => seq)).toEqual([1, 2, 3, 4]);
    expect(await session.events({ last: 2 })).toEqual(events.slice(-2));
    expect(await session.events({ since })).toEqual(events.slice(-1));
    expect(events.at(-1)).toMatchObject({ type: 'call', data: { tool: 'get', ok: true } });
    await session.waitFor(() => heard.length === 3);
    expect(heard).toEqual(['state', 'call', 'call']);
    stop();
    await session.useTool('get');
    expect(await session.events()).toHaveLength(5);
    expect(heard).toHaveLength(3);
  });
});

test('S7 T1 agents of one process share no user state and write nothing that is everybody’s', async () => {
  await using place = await openHere();
  const [alice, bob] = await Promise.all(
    ['alice', 'bob'].map((name) => place.proxy.forAgent(name).createSession('work')),
  );
  await alice?.state.set('user:tone', 'dry');
  expect(await bob?.state.all()).toEqual({});
  expect(await codeOf(bob?.state.set('app:motto', 'mine') ?? Promise.resolve())).toBe('FORBIDDEN');
});

test('S8 the next proxy on the same store finds the state of every agent as it was', async () => {
  using folder = new TemporaryFolder();
  const store = `${folder.path}/sessions.db`;
  const ids: string[] = [];
  {
    await using place = await openHere({ store });
    for (const name of ['alice', 'bob']) {
      const session = await place.proxy.forAgent(name).createSession('work');
      await session.state.set('whose', name);
      await session.saveState('module', [name]);
      await session.useTool('increment');
      ids.push(session.id);
    }
  }
  await using place = await openHere({ store });
  const session = await place.proxy.forAgent('alice').findSession('work');
  expect(session?.id).toBe(ids[0]);
  expect(await session?.info()).toMatchObject({ state: 'paused', bindings: [{ generation: 1 }] });
  expect(await session?.state.get('whose')).toBe('alice');
  await session?.state.set('whose', 'changed');
  const other = await place.proxy.forAgent('bob').findSession('work');
  expect([await other?.state.get('whose'), await other?.loadState('module')]).toEqual(['bob', ['bob']]);
});
