import { describe, expect, test } from 'vitest';
import { connectProxy } from '../../src/index.js';
import { isAlive, until } from '../support/proxy.js';
import { codeOf, counter, MINUTE, numberOf, openHere, places } from './support/places.js';

describe.each(places)('%s', (_, open) => {
  test('M2 a session that was created stays until it is closed, also with its servers started at once', async () => {
    await using place = await open();
    const agent = place.proxy.forAgent('alice');
    const session = await agent.createSession('work', { bind: true });
    expect(await session.connectionStatus()).toEqual({ counter: true });
    expect(session.name).toBe('work');
    expect((await agent.findSession('work'))?.id).toBe(session.id);
    expect((await agent.findSession(session.id))?.name).toBe('work');
    const nameless = await agent.createSession();
    expect((await agent.findSession(nameless.id))?.id).toBe(nameless.id);
    expect(await codeOf(agent.createSession('work'))).toBe('SESSION_EXISTS');
    expect(await session.close()).toBe(true);
    expect(await agent.findSession('work')).toBeNull();
  });

  test('T15 a summarizer gets what happened since the last summary, and what it says is kept up to there', async () => {
    await using place = await open();
    const session = await place.proxy.forAgent('alice').createSession('work');
    await session.useTool('increment');
    const first = await session.summarize((events) => events.map(({ type }) => type).join(' '));
    expect(first).toMatchObject({ text: 'created state call', upTo: 3 });
    const again = await session.summarize(() => 'never asked for');
    expect(again).toEqual(first);
    await session.useTool('increment');
    const second = await session.summarize((events, before) =>
      Promise.resolve(`${before?.text}, then ${events.map(({ type }) => type).join(' ')}`),
    );
    expect(second).toMatchObject({ text: 'created state call, then call', upTo: 4 });
    expect(await session.summary()).toEqual(second);
    expect(await session.setSummary('short', { upTo: 2 })).toMatchObject({ text: 'short', upTo: 2 });
    expect(await session.events()).toHaveLength(4);
  });

  test('G3 a session that is resumed, pinged or bound after its deadline has its idle time again', async () => {
    await using place = await open();
    const session = await place.proxy.forAgent('alice').createSession('work', { bind: true });
    const starts = [
      () => session.resume(),
      () => session.ping('counter'),
      () => session.bindService('counter'),
    ];
    for (const start of starts) {
      await place.clock.forward(31 * MINUTE);
      await session.waitFor(({ state }) => state === 'paused');
      await start();
      await place.clock.forward(29 * MINUTE);
      expect((await session.info()).state).toBe('active');
    }
  });

  test('G12 a ping starts a server that does not run, and tells of one that cannot', async () => {
    const broken = { command: process.execPath, args: ['-e', 'process.exit(1)'] };
    await using place = await open({ servers: { counter, broken } });
    const session = await place.proxy.forAgent('alice').createSession('work');
    expect(await session.ping('counter')).toMatchObject([{ server: 'counter', ok: true }]);
    expect(await session.connectionStatus()).toEqual({ counter: true, broken: false });
    expect(await session.ping()).toMatchObject([
      { server: 'counter', ok: true },
      { server: 'broken', ok: false, error: expect.stringMatching(/broken/) as string },
    ]);
    expect(await codeOf(session.ping('nobody'))).toBe('NOT_FOUND');
  });

  test('M8 extend moves the deadline by exactly the seconds it is told', async () => {
    await using place = await open();
    const session = await place.proxy.forAgent('alice').createSession('work', { bind: true });
    const before = Date.parse((await session.info()).expiresAt ?? '');
    const after = Date.parse((await session.extend(3600)).expiresAt ?? '');
    expect(after - before).toBe(3_600_000);
    await place.clock.forward(60 * MINUTE);
    expect((await session.info()).state).toBe('active');
    expect(await codeOf(session.extend(0))).toBe('INVALID_PARAMS');
    await place.clock.forward(20 * MINUTE);
    const { expiresAt, lastActiveAt } = await session.refresh();
    expect(Date.parse(expiresAt ?? '') - Date.parse(lastActiveAt)).toBe(30 * MINUTE);
  });

  test('M10 closing twice is no error; then calls fail, the name is free and nothing is found', async () => {
    await using place = await open();
    const agent = place.proxy.forAgent('alice');
    const session = await agent.createSession('work');
    const pid = numberOf(await session.useTool('pid'));
    expect([await session.close(), await session.close()]).toEqual([true, false]);
    expect(isAlive(pid)).toBe(false);
    expect(await codeOf(session.useTool('get'))).toBe('SESSION_CLOSED');
    expect((await session.info()).state).toBe('closed');
    expect(await agent.findSession('work')).toBeNull();
    expect(await agent.findSession(session.id)).toBeNull();
    const next = await agent.createSession('work');
    expect(next.id).not.toBe(session.id);
    await session.close({ purge: true });
    expect(await codeOf(session.info())).toBe('SESSION_NOT_FOUND');
    expect(await codeOf(session.useTool('get'))).toBe('SESSION_NOT_FOUND');
  });

  test('M11 M12 info has every field, with the numbers of servers and tools, and starts nothing', async () => {
    await using place = await open();
    const session = await place.proxy.forAgent('alice').createSession('work');
    expect(await session.info()).toMatchObject({
      state: 'idle',
      active: false,
      toolCount: null,
      tools: null,
    });
    await session.bindService('counter');
    const tools = await session.listTools();
    expect(tools.map(({ name }) => name)).toContain('increment');
    const info = await session.info();
    expect(info).toMatchObject({
      id: session.id,
      name: 'work',
      scope: 'agent',
      state: 'active',
      active: true,
      temporary: false,
      serviceCount: 1,
      toolCount: tools.length,
      tools: tools.map(({ name }) => name),
      bindings: [{ server: 'counter', state: 'connected', generation: 1 }],
    });
    expect(await session.listServices()).toEqual(info.bindings);
    expect(info.principal).toMatch(/^(agent:alice|local)$/);
    for (const time of [info.createdAt, info.updatedAt, info.lastActiveAt, info.expiresAt])
      expect(Date.parse(time ?? '')).toBeGreaterThan(0);
  });

  test('M13 a server that dies is told as not connected within a second', async () => {
    await using place = await open();
    const session = await place.proxy.forAgent('alice').createSession('work');
    expect(await session.connectionStatus()).toEqual({ counter: false });
    const pid = numberOf(await session.useTool('pid'));
    expect(await session.connectionStatus()).toEqual({ counter: true });
    process.kill(pid, 'SIGKILL');
    const killed = Date.now();
    await until(async () => !(await session.connectionStatus()).counter);
    expect(Date.now() - killed).toBeLessThan(1000);
  });

  test('M14 S7 one name at two agents and in the store are three sessions, and each list has its own alone', async () => {
    await using place = await open();
    const spaces = [place.proxy.forAgent('alice'), place.proxy.forAgent('bob'), place.proxy.forStore()];
    const sessions = await Promise.all(spaces.map((space) => space.createSession('work')));
    for (const [index, session] of sessions.entries()) {
      for (let call = 0; call <= index; call++) await session.useTool('increment');
      await session.state.set('whose', index);
    }
    const counts = await Promise.all(
      spaces.map((space) => space.useTool('get', {}, { session: 'work' }).then(numberOf)),
    );
    expect(counts).toEqual([1, 2, 3]);
    expect(await Promise.all(sessions.map(({ state }) => state.get('whose')))).toEqual([0, 1, 2]);
    const lists = await Promise.all(spaces.map((space) => space.listSessions()));
    expect(lists.map((list) => list.sessions.map(({ id, name }) => [id, name]))).toEqual(
      sessions.map(({ id }) => [[id, 'work']]),
    );
    expect(lists.map((list) => list.sessions[0]?.scope)).toEqual(['agent', 'agent', 'store']);
    expect(await spaces[1]?.findSession(sessions[0]?.id ?? '')).toBeNull();
  });

  test('M15 a session that is shared under an alias is found by those it is shared with', async () => {
    await using place = await open();
    const [alice, bob] = [place.proxy.forAgent('alice'), place.proxy.forAgent('bob')];
    const session = await alice.createSession('work');
    await session.useTool('increment');
    await session.share('team', ['agent:bob', 'local']);
    const found = await bob.findSession('@team');
    expect(found?.id).toBe(session.id);
    expect(numberOf((await found?.useTool('increment')) ?? {})).toBe(2);
    expect(await bob.findSession('@nobody')).toBeNull();
  });

  test('M19 F9 many sessions are made, listed page by page, counted, refreshed and closed at once', async () => {
    await using place = await open();
    const [alice, bob] = [place.proxy.forAgent('alice'), place.proxy.forAgent('bob')];
    await bob.createSession('s1');
    const names = ['s1', 's2', 's3', 's4', 's5'];
    const made = await alice.createMany([
      ...names.map((name) => ({ name })),
      { name: 's1' },
      { name: '../x' },
    ]);
    expect(made.map((outcome) => (outcome.ok ? outcome.value.name : outcome.error.code))).toEqual([
      ...names,
      'SESSION_EXISTS',
      'SESSION_NAME_INVALID',
    ]);
    const first = await alice.listSessions({ limit: 3 });
    const cursor = first.nextCursor ?? '';
    const rest = await alice.listSessions({ limit: 3, cursor });
    expect(first.sessions).toHaveLength(3);
    expect([...first.sessions, ...rest.sessions].map(({ name }) => name).sort()).toEqual(names);
    expect(rest.nextCursor).toBeUndefined();
    expect((await alice.listSessions({ states: ['paused'] })).sessions).toEqual([]);
    await alice.useTool('get', {}, { session: 's1' });
    expect(await place.proxy.stats()).toEqual({ sessions: { idle: 5, active: 1 }, running: 1, requests: 0 });
    expect(await alice.stats()).toMatchObject({ sessions: { active: 1 }, running: 1 });
    expect(await alice.refreshAll()).toBe(5);
    expect([await alice.closeAll(), await alice.closeAll()]).toEqual([5, 0]);
    expect(await place.proxy.stats()).toMatchObject({ sessions: { idle: 1, closed: 5 }, running: 0 });
    expect((await bob.listSessions()).sessions).toHaveLength(1);
    expect(await alice.createMany([])).toEqual([]);
  });

  test('M19 a page is as long as it is asked for, whatever else the proxy has in between', async () => {
    await using place = await open();
    const [alice, store] = [place.proxy.forAgent('alice'), place.proxy.forStore()];
    for (const name of ['a', 'b', 'between', 'c', 'd', 'e']) {
      await (name === 'between' ? store : alice).createSession(name);
      await place.clock.forward(1);
    }
    const first = await alice.listSessions({ limit: 4 });
    const rest = await alice.listSessions({ limit: 4, cursor: first.nextCursor ?? '' });
    expect([first, rest].map(({ sessions }) => sessions.map(({ name }) => name))).toEqual([
      ['e', 'd', 'c', 'b'],
      ['a'],
    ]);
    expect((await store.listSessions({ limit: 1 })).sessions).toMatchObject([{ name: 'between' }]);
  });

  test('F8 looking at sessions moves no deadline', async () => {
    await using place = await open();
    const agent = place.proxy.forAgent('alice');
    const session = await agent.createSession('work', { bind: true });
    const { expiresAt } = await session.info();
    await place.clock.forward(10 * MINUTE);
    const { sessions } = await agent.listSessions();
    expect(sessions[0]).toMatchObject({ expiresAt, temporary: false, state: 'active' });
    await session.connectionStatus();
    await agent.findSession('work');
    expect((await session.info()).expiresAt).toBe(expiresAt);
  });

  test('F10 a session has the name and settings it is given, laid over the configured ones; other names are refused', async () => {
    await using place = await open({ sessions: { state: { tone: 'dry', depth: 1 } } });
    const agent = place.proxy.forAgent('alice');
    const session = await agent.createSession('My.task_1-a', { ttlSeconds: 90, state: { depth: 2 } });
    expect(await session.state.all()).toEqual({ tone: 'dry', depth: 2 });
    await session.refresh();
    const { expiresAt, lastActiveAt } = await session.info();
    expect(Date.parse(expiresAt ?? '') - Date.parse(lastActiveAt)).toBe(90_000);
    for (const name of ['../x', '..', 'a b', 'x'.repeat(300), 'a\0b', ''])
      expect(await codeOf(agent.createSession(name)), name).toBe('SESSION_NAME_INVALID');
    expect(await codeOf(agent.createSession('x', { servers: ['nobody'] }))).toBe('NOT_FOUND');
  });

  test('a session is renamed and forked: the fork has the state and none of the connections', async () => {
    await using place = await open();
    const agent = place.proxy.forAgent('alice');
    const session = await agent.createSession('work');
    await session.useTool('increment');
    await session.state.set('page', 7);
    await agent.createSession('taken');
    expect(await codeOf(session.rename('taken'))).toBe('SESSION_EXISTS');
    expect((await session.rename('renamed')).name).toBe('renamed');
    expect(session.name).toBe('renamed');
    expect((await agent.findSession('renamed'))?.id).toBe(session.id);
    const fork = await session.fork('copy');
    expect([fork.name, await fork.state.get('page')]).toEqual(['copy', 7]);
    expect(await fork.connectionStatus()).toEqual({ counter: false });
    expect(numberOf(await fork.useTool('get'))).toBe(0);
    expect(numberOf(await session.useTool('get'))).toBe(1);
  });

  test('T3 what is not there is null, and names of agents are checked', async () => {
    await using place = await open();
    const agent = place.proxy.forAgent('alice');
    expect([await agent.findSession('nobody'), await agent.findSession('ses_nobody')]).toEqual([null, null]);
    for (const id of ['', 'a.b', 'a/b', 'x'.repeat(33)])
      expect(() => place.proxy.forAgent(id), id).toThrow(/cannot name an agent/);
  });

  test('an agent without an id is the principal whose MCP clients have the same sessions', async () => {
    await using place = await open();
    const own = place.proxy.forAgent();
    await place.proxy.forAgent('alice').createSession('work');
    const session = await own.createSession('mine');
    expect(await session.info()).toMatchObject({ principal: 'local', name: 'mine' });
  });
});

test('T18 two programs that ask 100 times each for one name get one session', async () => {
  await using place = await openHere({ servers: { counter } }, true);
  const proxies = [connectProxy(place.proxy.url ?? ''), connectProxy(place.proxy.url ?? '')];
  const sessions = await Promise.all(
    proxies.flatMap((proxy) =>
      Array.from({ length: 100 }, () => proxy.forAgent('alice').getOrCreate('work')),
    ),
  );
  expect(new Set(sessions.map(({ id }) => id)).size).toBe(1);
  expect(await place.proxy.stats()).toMatchObject({ sessions: { idle: 1 } });
});
