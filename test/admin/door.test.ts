import { afterEach, describe, expect, test } from 'vitest';
import type { Door, EventView, SessionView } from '../../src/admin/door.js';
import { tail } from '../../src/admin/tail.js';
import { setLogLevel } from '../../src/logger.js';
import type { Fields } from '../../src/protocol/messages.js';
import { House, type Way } from '../support/house.js';
import { isAlive, local, until } from '../support/proxy.js';

setLogLevel('silent');

const counter = { servers: { counter: local('counter') } };
const two = { servers: { one: local('counter'), two: local('counter') } };
const broken = { command: process.execPath, args: ['-e', 'process.exit(1)'] };

/** The text of a tool's answer. */
async function say(door: Door, ref: string | undefined, tool: string, args?: Fields): Promise<string> {
  const { content } = (await door.callTool(ref, tool, args)) as { content: { text: string }[] };
  return content.map(({ text }) => text).join('\n');
}

function pidOf({ bindings }: SessionView, server = 'counter'): number {
  const pid = bindings.find((binding) => binding.server === server)?.pid;
  if (pid === undefined) throw new Error(`${server} has no process`);
  return pid;
}

/** The session an answer came from, as the answer itself says. */
function metaOf(result: Fields): unknown {
  return (result._meta as Fields)['mcp-session-proxy/session'];
}

const ms = (time: string | null) => Date.parse(time ?? '');

describe.each<Way>(['local', 'remote'])('through the %s door', (way) => {
  let house: House;
  /** The door of alice to a fresh proxy. */
  async function open(config: Fields = counter): Promise<Door> {
    house = await House.open(way, config);
    return house.door();
  }
  afterEach(() => house[Symbol.asyncDispose]());

  // -- making and ending -----------------------------------------------------------------------------------------

  test('M1 a session that is closed leaves no process, also when a call failed in it', async () => {
    const door = await open();
    const pid = Number(await say(door, (await door.create({ name: 'a' })).id, 'pid'));
    await expect(door.callTool('a', 'nothing')).rejects.toThrow('no tool nothing');
    expect(await door.close('a')).toBe(true);
    expect(isAlive(pid)).toBe(false);
  });

  test('M2 a created session stays until it is closed, also over a restart', async () => {
    const made = await (await open()).create({ name: 'research' });
    expect(made).toMatchObject({ name: 'research', state: 'idle', temporary: false, scope: 'agent' });
    await house.restart();
    expect(await house.door().info('research')).toMatchObject({ id: made.id, createdAt: made.createdAt });
    await expect(house.door().create({ name: 'research' })).rejects.toMatchObject({
      code: 'SESSION_EXISTS',
      message: 'There is a session "research" already. Use it, or choose another name.',
    });
  });

  test('M10 closing twice is no error, the name is free, and the closed one says that it is closed', async () => {
    const door = await open();
    const { id } = await door.create({ name: 'a' });
    expect([await door.close('a'), await door.close(id), await door.close('never')]).toEqual([
      true,
      false,
      false,
    ]);
    expect(await door.find('a')).toBeNull();
    expect(await door.find(id)).toBeNull();
    expect(await door.info(id)).toMatchObject({ state: 'closed', expiresAt: null });
    await expect(door.callTool(id, 'get')).rejects.toMatchObject({ code: 'SESSION_CLOSED' });
    expect((await door.create({ name: 'a' })).id).not.toBe(id);
  });

  test('G6 closing by force ends a hung server within 5 seconds', async () => {
    const door = await open({ servers: { hung: local('hangs') } });
    await door.create({ name: 'a', bind: true });
    const pid = pidOf(await door.info('a'), 'hung');
    const call = door.callTool('a', 'hang');
    const ended = expect(call).rejects.toThrow();
    await until(async () => (await door.stats()).requests === 1);
    const begun = Date.now();
    await door.close('a', { force: true });
    expect(Date.now() - begun).toBeLessThan(5000);
    expect(isAlive(pid)).toBe(false);
    await ended;
  });

  test('S13 deleting cancels the call under way, and then nothing is left', async () => {
    const door = await open();
    const { id } = await door.create({ name: 'a', state: { kept: 1 }, bind: true });
    const call = door.callTool('a', 'sleep', { ms: 60_000 });
    const ended = expect(call).rejects.toMatchObject({ code: 'CALL_CANCELLED' });
    await until(async () => (await door.stats()).requests === 1);
    const begun = Date.now();
    expect(await door.close('a', { purge: true })).toBe(true);
    await ended;
    expect(Date.now() - begun).toBeLessThan(10_000);
    await expect(door.info(id)).rejects.toMatchObject({ code: 'SESSION_NOT_FOUND' });
    expect(house.rowsOf(id)).toEqual({});
  });

  test('whoever asks for a session while it is closed gets a new one', async () => {
    const door = await open();
    const { id } = await door.create({ name: 'a', bind: true });
    const closing = door.close('a');
    const later = Promise.all([
      door.getOrCreate({ name: 'a' }),
      door.getOrCreate({ name: 'a' }),
      door.callTool(id, 'increment').catch((error: unknown) => error),
    ]);
    await closing;
    const [one, two] = await later;
    expect(await door.info(id)).toMatchObject({ state: 'closed' });
    expect(two.id).toBe(one.id);
    // The remote door may be quicker with the second request than with the first.
    if (one.id === id) expect(one.existed).toBe(true);
    else expect(await say(door, 'a', 'get')).toBe('0');
  });

  test('T6 a deleted session is not listed any more, and deleting it again is no error', async () => {
    const door = await open();
    const { id } = await door.create({ name: 'a', state: { key: 1 } });
    await door.saveSnapshot('a', 'snap');
    await door.share('a', 'ours', ['token:bob']);
    expect((await door.list()).sessions).toHaveLength(1);
    await door.close(id, { purge: true });
    expect(house.rowsOf(id)).toEqual({});
    expect((await door.list({ states: ['idle', 'active', 'paused', 'closed'] })).sessions).toEqual([]);
    expect(await door.close(id, { purge: true })).toBe(false);
  });

  test('T3 what is not there is found as null, and asked for by name it is an error', async () => {
    const door = await open();
    expect(await door.find('nobody')).toBeNull();
    await expect(door.info('nobody')).rejects.toMatchObject({ code: 'SESSION_NOT_FOUND' });
  });

  test('S3 a missing session is null where that is allowed, else SESSION_NOT_FOUND', async () => {
    const door = await open();
    expect(await door.find('ses_AAAAAAAAAAAAAAAAAAAAAA')).toBeNull();
    await expect(door.getState('ses_AAAAAAAAAAAAAAAAAAAAAA')).rejects.toMatchObject({
      code: 'SESSION_NOT_FOUND',
    });
  });

  test('T18 asked at once for the same name, all get the same session', async () => {
    const door = await open();
    const all = await Promise.all(Array.from({ length: 50 }, () => door.getOrCreate({ name: 'one' })));
    expect(new Set(all.map(({ id }) => id)).size).toBe(1);
    expect(all.filter(({ existed }) => !existed)).toHaveLength(1);
  });

  test('F9 a batch makes and closes each item for itself', async () => {
    const door = await open();
    const made = await door.createMany([{ name: 'a' }, { name: 'a' }, { name: '../x' }, {}]);
    expect(made).toMatchObject([
      { ok: true, value: { name: 'a' } },
      { ok: false, error: { code: -32602, data: { code: 'SESSION_EXISTS' } } },
      { ok: false, error: { data: { code: 'SESSION_NAME_INVALID' } } },
      { ok: true, value: { name: null } },
    ]);
    expect(await door.closeMany(['a', 'nobody', '../x'])).toMatchObject([
      { ok: true, value: true },
      { ok: true, value: false },
      { ok: false, error: { data: { code: 'SESSION_NAME_INVALID' } } },
    ]);
  });

  test('a session whose first state cannot be kept is not made', async () => {
    const door = await open();
    await expect(door.create({ name: 'a', state: { ok: 1, 'not a key': 1 } })).rejects.toMatchObject({
      code: 'STATE_KEY_INVALID',
    });
    await expect(door.create({ name: 'a', state: { fn: () => 1 } })).rejects.toMatchObject({
      code: 'STATE_VALUE_INVALID',
      message: 'fn is a function, which JSON cannot hold. Convert it first.',
    });
    await expect(door.create({ name: 'a', ttlSeconds: -1 })).rejects.toMatchObject({
      code: 'INVALID_PARAMS',
    });
    await expect(door.create({ name: 'a', servers: ['unheard'] })).rejects.toMatchObject({
      code: 'NOT_FOUND',
      message: 'No server "unheard" is configured. There are: counter.',
    });
    expect(await door.find('a')).toBeNull();
    expect((await door.create({ name: 'a' })).state).toBe('idle');
  });

  // -- looking ---------------------------------------------------------------------------------------------------

  test('M11 a session shows who it is, how it is and what it is connected to', async () => {
    const door = await open();
    await door.create({ name: 'a' });
    await door.callTool('a', 'get');
    const time = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/) as string;
    expect(await door.info('a')).toEqual({
      id: expect.stringMatching(/^ses_[\w-]{22}$/) as string,
      name: 'a',
      rungs: {},
      principal: 'token:alice',
      scope: 'agent',
      state: 'active',
      temporary: false,
      createdAt: time,
      updatedAt: time,
      lastActiveAt: time,
      expiresAt: time,
      bindings: [
        {
          id: expect.stringMatching(/^ses_.*\/counter@1$/) as string,
          server: 'counter',
          scope: 'session',
          state: 'connected',
          generation: 1,
          pid: expect.any(Number) as number,
        },
      ],
    });
  });

  test('F8 looking moves no deadline', async () => {
    const door = await open();
    const { id, expiresAt } = await door.create();
    await new Promise((resolve) => setTimeout(resolve, 20));
    const { sessions } = await door.list();
    await door.events(id);
    await door.getState(id);
    expect([sessions[0]?.expiresAt, (await door.info(id)).expiresAt]).toEqual([expiresAt, expiresAt]);
  });

  test('T7 lists the last updated first, page by page, and events in none of them', async () => {
    const door = await open();
    for (let i = 0; i < 5; i++) await door.create({ name: `n${i}` });
    const seen: (string | null)[] = [];
    let cursor: string | undefined;
    let pages = 0;
    do {
      const page = await door.list({ limit: 2, ...(cursor === undefined ? {} : { cursor }) });
      expect(page.sessions.length).toBeLessThanOrEqual(2);
      expect(page.sessions.every((session) => !('events' in session))).toBe(true);
      seen.push(...page.sessions.map(({ name }) => name));
      cursor = page.nextCursor;
      pages += 1;
    } while (cursor !== undefined);
    expect(pages).toBe(3);
    expect([...seen].sort()).toEqual(['n0', 'n1', 'n2', 'n3', 'n4']);
    await expect(door.list({ cursor: 'nonsense' })).rejects.toMatchObject({
      code: 'INVALID_PARAMS',
      message: 'The cursor is none that a list gave. Start again without one.',
    });
  });

  test('M19 all named sessions are listed and counted by state', async () => {
    const door = await open();
    await door.createMany([{ name: 'a' }, { name: 'b' }, { name: 'c' }]);
    await door.callTool('a', 'get');
    await door.callTool('b', 'get');
    await door.pause('b');
    expect((await door.list()).sessions.map(({ name }) => name).sort()).toEqual(['a', 'b', 'c']);
    expect(await door.stats()).toEqual({
      sessions: { active: 1, idle: 1, paused: 1 },
      running: 1,
      requests: 0,
    });
  });

  test('the configured servers are listed without what may be secret of them', async () => {
    const door = await open({ servers: { counter: local('counter', { env: { KEY: 'hidden' } }) } });
    expect(await door.servers()).toEqual([{ name: 'counter', kind: 'local', scope: 'session' }]);
  });

  // -- life ------------------------------------------------------------------------------------------------------

  test('M8 extend moves the deadline by exactly the seconds asked for', async () => {
    const door = await open();
    const before = await door.create({ name: 'a' });
    const once = await door.extend('a', 3600);
    const twice = await door.extend('a', 0.5);
    expect(ms(once.expiresAt) - ms(before.expiresAt)).toBe(3_600_000);
    expect(ms(twice.expiresAt) - ms(once.expiresAt)).toBe(500);
    await expect(door.extend('a', 0)).rejects.toMatchObject({ code: 'INVALID_PARAMS' });
    await expect(door.extend('a', -5)).rejects.toMatchObject({ code: 'INVALID_PARAMS' });
    await expect(door.extend('a', 1e18)).rejects.toMatchObject({ code: 'INVALID_PARAMS' });
  });

  test('F6 refreshing one or all sets the deadline to its time from now, for one’s own alone', async () => {
    const door = await open();
    const ttl = 1_800_000;
    const foreign = await house.door('bob').create({ name: 'b' });
    const before = await door.create({ name: 'a' });
    await new Promise((resolve) => setTimeout(resolve, 20));
    const begun = Date.now();
    const after = await door.refresh('a');
    expect(ms(after.expiresAt)).toBeGreaterThanOrEqual(begun + ttl);
    expect(ms(after.expiresAt)).toBeGreaterThan(ms(before.expiresAt));
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(await door.refreshAll()).toBe(1);
    expect(ms((await door.info('a')).expiresAt)).toBeGreaterThan(ms(after.expiresAt));
    expect(await house.door('bob').info('b')).toMatchObject({ expiresAt: foreign.expiresAt });
  });

  test('M7 restart gives new processes and keeps id and state', async () => {
    const door = await open();
    const { id } = await door.create({ name: 'a', state: { kept: true } });
    await say(door, 'a', 'increment');
    const before = await door.info('a');
    const after = await door.restart('a');
    expect(after).toMatchObject({ id, state: 'active', bindings: [{ server: 'counter', generation: 2 }] });
    expect(pidOf(after)).not.toBe(pidOf(before));
    expect(isAlive(pidOf(before))).toBe(false);
    expect(await door.getState('a')).toEqual({ kept: true });
    expect(await say(door, 'a', 'get')).toMatch(/was restarted on request.*\n0$/s);
  });

  test('G3 a paused session goes on under its id, and the loss is told', async () => {
    const door = await open();
    const { id } = await door.create({ name: 'a', bind: true });
    await say(door, 'a', 'increment');
    const pid = pidOf(await door.info('a'));
    expect(await door.pause('a')).toMatchObject({ id, state: 'paused' });
    expect(isAlive(pid)).toBe(false);
    expect(await door.resume('a')).toMatchObject({ id, state: 'active', bindings: [{ generation: 2 }] });
    expect(metaOf(await door.callTool('a', 'get'))).toMatchObject({ id, lost: [{ server: 'counter' }] });
  });

  test('a session with a request under way is not paused unless it must be', async () => {
    const door = await open();
    await door.create({ name: 'a', bind: true });
    const call = door.callTool('a', 'sleep', { ms: 60_000 });
    await until(async () => (await door.stats()).requests === 1);
    await expect(door.pause('a')).rejects.toMatchObject({ code: 'SESSION_BUSY' });
    expect(await door.pause('a', true)).toMatchObject({ state: 'paused' });
    expect((await call).isError).toBe(true);
  });

  test('S12 a change leaves alone what it leaves out, null goes back to the default, and a busy session is let be', async () => {
    const door = await open({ ...counter, sessions: { ttl: '1h' } });
    await door.create({ name: 'a', bind: true, ttlSeconds: 60, onTimeout: 'close' });
    const left = (view: SessionView) => Math.round((ms(view.expiresAt) - ms(view.lastActiveAt)) / 1000);
    expect(left(await door.info('a'))).toBe(60);
    const renamed = await door.update('a', { name: 'b' });
    expect([renamed.name, left(renamed)]).toEqual(['b', 60]);
    expect(left(await door.update('b', { ttlSeconds: 90 }))).toBe(90);
    expect(left(await door.update('b', { ttlSeconds: null }))).toBe(3600);
    expect(await door.update('b', { name: null })).toMatchObject({ id: renamed.id, name: null });
    const call = door.callTool(renamed.id, 'sleep', { ms: 300 });
    await until(async () => (await door.stats()).requests === 1);
    await expect(door.update(renamed.id, { name: 'c' })).rejects.toMatchObject({ code: 'SESSION_BUSY' });
    await call;
    expect(await door.update(renamed.id, { name: 'c' })).toMatchObject({ name: 'c' });
  });

  test('G15 a fork has the state and settings of its source, none of its connections, and changes nothing there', async () => {
    const door = await open();
    await door.create({ name: 'a', ttlSeconds: 60, state: { list: [1, 2] } });
    await say(door, 'a', 'increment');
    const source = await door.info('a');
    const fork = await door.fork('a', 'b');
    expect(fork).toMatchObject({ name: 'b', state: 'idle', bindings: [{ state: 'unbound' }] });
    expect(ms(fork.expiresAt) - ms(fork.lastActiveAt)).toBe(60_000);
    expect(await door.getState('b')).toEqual({ list: [1, 2] });
    await door.setValue('b', 'list', []);
    expect(await door.getState('a')).toEqual({ list: [1, 2] });
    expect(await say(door, 'b', 'get')).toBe('0');
    expect(await say(door, 'a', 'get')).toBe('1');
    expect((await door.info('a')).bindings).toEqual(source.bindings);
    expect((await door.fork('a')).name).toBeNull();
  });

  test('G15 sessions are listed by state, and many are closed at once', async () => {
    const door = await open();
    await door.createMany([{ name: 'a' }, { name: 'b' }, { name: 'c' }]);
    await door.callTool('a', 'get');
    const names = async (states: SessionView['state'][]) =>
      (await door.list({ states })).sessions.map(({ name }) => name).sort();
    expect(await names(['active'])).toEqual(['a']);
    expect(await names(['idle'])).toEqual(['b', 'c']);
    await door.closeMany(['a', 'b']);
    expect(await names(['closed'])).toEqual(['a', 'b']);
    expect(await house.door('bob').closeAll()).toBe(0);
    expect(await door.closeAll()).toBe(1);
    expect((await door.list()).sessions).toEqual([]);
  });

  test('F16 disconnecting a user pauses all sessions of that user and of nobody else', async () => {
    const door = await open();
    const [bob, root] = [house.door('bob'), house.door('root')];
    for (const name of ['a', 'b']) await door.create({ name, bind: true });
    await bob.create({ name: 'a', bind: true });
    const pids = [pidOf(await door.info('a')), pidOf(await door.info('b'))];
    await expect(bob.disconnect('token:alice')).rejects.toMatchObject({ code: 'FORBIDDEN' });
    expect(await root.disconnect('token:alice')).toBe(2);
    expect(pids.map(isAlive)).toEqual([false, false]);
    expect(await door.info('a')).toMatchObject({ state: 'paused' });
    expect(await bob.info('a')).toMatchObject({ state: 'active' });
    expect(await root.disconnect('token:nobody')).toBe(0);
  });

  // -- servers and tools -----------------------------------------------------------------------------------------

  test('M5 binding is idempotent, and a server that cannot start stays to be started later', async () => {
    const door = await open({ servers: { counter: local('counter'), broken } });
    await door.create({ name: 'a', servers: ['counter'] });
    const first = await door.bind('a', 'counter');
    const second = await door.bind('a', 'counter');
    expect(pidOf(second)).toBe(pidOf(first));
    const begun = Date.now();
    const eager = await door.create({ name: 'b', servers: ['broken'], bind: true });
    expect(Date.now() - begun).toBeLessThan(20_000);
    expect(eager).toMatchObject({ state: 'error', bindings: [{ server: 'broken', state: 'failed' }] });
    await expect(door.bind('a', 'broken')).rejects.toMatchObject({ code: 'SERVER_UNAVAILABLE' });
    expect((await door.info('a')).bindings.map(({ server, state }) => [server, state])).toEqual([
      ['counter', 'connected'],
      ['broken', 'failed'],
    ]);
    await expect(door.recover('a')).rejects.toMatchObject({ code: 'SERVER_UNAVAILABLE' });
    await expect(door.bind('a', 'unheard')).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });

  test('a server that is taken away is stopped, and its tools are gone', async () => {
    const door = await open(two);
    const made = await door.create({ name: 'a', bind: true });
    const pid = pidOf(made, 'one');
    const { bindings } = await door.unbind('a', 'one');
    expect(bindings.map(({ server }) => server)).toEqual(['two']);
    expect(isAlive(pid)).toBe(false);
    expect((await door.listTools('a')).every(({ name }) => String(name).startsWith('two__'))).toBe(true);
  });

  test('M6 tools run in the session that is named, each with a process of its own', async () => {
    const door = await open();
    await door.createMany([{ name: 'a' }, { name: 'b' }]);
    expect([await say(door, 'a', 'increment'), await say(door, 'a', 'increment')]).toEqual(['1', '2']);
    expect(await say(door, 'b', 'increment')).toBe('1');
    expect(await say(door, 'a', 'echo', { text: 'héllo \ud800' })).toBe('héllo \ud800');
    await expect(door.callTool('nobody', 'get')).rejects.toMatchObject({ code: 'SESSION_NOT_FOUND' });
  });

  test('F2 calls in a session all come from the same, which is not temporary', async () => {
    const door = await open();
    const { id } = await door.create({ name: 'a' });
    for (let i = 0; i < 3; i++)
      expect(metaOf(await door.callTool('a', 'increment'))).toMatchObject({ id, temporary: false });
  });

  test('F1 a call without a session has one of its own, gone with the call', async () => {
    const door = await open();
    const results = await Promise.all([
      door.callTool(undefined, 'increment'),
      door.callTool(undefined, 'increment'),
    ]);
    const metas = results.map(metaOf) as { id: string; temporary: boolean }[];
    expect(metas.map(({ temporary }) => temporary)).toEqual([true, true]);
    expect(new Set(metas.map(({ id }) => id)).size).toBe(2);
    await expect(door.callTool(undefined, 'nothing')).rejects.toThrow('no tool nothing');
    expect(metas.map(({ id }) => house.rowsOf(id))).toEqual([{}, {}]);
    expect((await door.list({ states: ['idle', 'active', 'paused', 'closed'] })).sessions).toEqual([]);
  });

  test('M12 after binding a session names its tools', async () => {
    const door = await open(two);
    await door.create({ name: 'a', bind: true });
    const tools = await door.listTools('a');
    expect(tools).toHaveLength(10);
    expect(tools.map(({ name }) => name)).toContain('two__increment');
    await door.clearCache('a');
    expect(await door.listTools('a')).toEqual(tools);
  });

  test('M13 a server that was killed is shown as disconnected within a second', async () => {
    const door = await open();
    const pid = pidOf(await door.create({ name: 'a', bind: true }));
    process.kill(pid, 'SIGKILL');
    const begun = Date.now();
    await until(async () => (await door.info('a')).bindings[0]?.state === 'disconnected');
    expect(Date.now() - begun).toBeLessThan(1000);
  });

  test('F7 reinitializing replaces one process and leaves the others; with a bad configuration the old one goes on', async () => {
    const door = await open(two);
    const before = await door.create({ name: 'a', bind: true });
    const root = house.door('root');
    const done = await root.reinitialize(before.id, 'one', { env: { MODE: 'other' } });
    expect(done).toMatchObject({ configApplied: true, session: { id: before.id } });
    expect(done.oldBindingId).toBe(before.bindings[0]?.id);
    expect(done.newBindingId).toBe(done.session.bindings[0]?.id);
    expect(done.newBindingId).not.toBe(done.oldBindingId);
    expect(isAlive(pidOf(before, 'one'))).toBe(false);
    expect(pidOf(done.session, 'two')).toBe(pidOf(before, 'two'));
    await say(door, 'a', 'one__increment');
    await expect(root.reinitialize(before.id, 'one', { args: ['/nowhere.mjs'] })).rejects.toMatchObject({
      code: 'SERVER_UNAVAILABLE',
    });
    expect(await say(door, 'a', 'one__get')).toMatch(/1$/);
    await expect(door.reinitialize('a', 'one', {})).rejects.toMatchObject({ code: 'FORBIDDEN' });
  });

  test('F15 a batch of calls stops at the first that fails, and in parallel tells of all', async () => {
    const door = await open();
    await door.create({ name: 'a' });
    const calls = [{ tool: 'increment' }, { tool: 'nothing' }, { tool: 'echo', arguments: { text: 'x' } }];
    const stopped = await door.callMany('a', calls);
    expect(stopped.map(({ ok }) => ok)).toEqual([true, false]);
    expect(stopped[1]).toMatchObject({ error: { message: 'no tool nothing' } });
    const all = await door.callMany('a', calls, { stopOnError: false });
    expect(all).toMatchObject([
      { ok: true, value: { content: [{ text: '2' }] } },
      { ok: false },
      { ok: true },
    ]);
    const parallel = await door.callMany('a', calls, { parallel: true });
    expect(parallel.map(({ ok }) => ok)).toEqual([true, false, true]);
    await expect(door.callMany('nobody', calls)).rejects.toMatchObject({ code: 'SESSION_NOT_FOUND' });
  });

  // -- whose it is -----------------------------------------------------------------------------------------------

  test('M14 the same name is another session for another user, and one for all in the store’s scope', async () => {
    const door = await open();
    const bob = house.door('bob');
    await Promise.all([door.create({ name: 'a' }), bob.create({ name: 'a' })]);
    expect([await say(door, 'a', 'increment'), await say(bob, 'a', 'increment')]).toEqual(['1', '1']);
    const own = async (one: Door) => (await one.list()).sessions.map(({ id }) => id);
    const [hers, his] = [await own(door), await own(bob)];
    expect(hers.filter((id) => his.includes(id))).toEqual([]);
    const all = await door.create({ name: 'everyone', scope: 'store' });
    expect(all).toMatchObject({ principal: '*', scope: 'store' });
    expect(await say(door, 'everyone', 'increment')).toBe('1');
    expect(await say(bob, 'everyone', 'increment')).toBe('2');
    expect(await bob.find('everyone')).toBeNull();
    expect(await bob.find('everyone', 'store')).toMatchObject({ id: all.id });
  });

  test('M15 a shared session is one for both who may use it, and not there for a third', async () => {
    const door = await open();
    const { id } = await door.create({ name: 'mine' });
    await door.share('mine', 'ours', ['token:bob']);
    const bob = house.door('bob');
    const pids = [await say(door, '@ours', 'pid'), await say(bob, '@ours', 'pid'), await say(bob, id, 'pid')];
    expect(new Set(pids).size).toBe(1);
    await expect(bob.info('mine')).rejects.toMatchObject({ code: 'SESSION_NOT_FOUND' });
    await door.create({ name: 'other' });
    await expect(bob.info('@others')).rejects.toMatchObject({ code: 'SESSION_NOT_FOUND' });
  });

  test('S7 two users keep state under the same session name apart', async () => {
    const door = await open();
    const bob = house.door('bob');
    await Promise.all([door.create({ name: 'a' }), bob.create({ name: 'a' })]);
    await door.setValue('a', 'key', 'hers');
    expect(await bob.getState('a')).toEqual({});
  });

  test('G14 reading, writing and closing somebody else’s session is refused as if it were not there', async () => {
    const door = await open();
    const { id } = await door.create({ name: 'a', state: { secret: 1 } });
    const bob = house.door('bob');
    const refused = { code: 'SESSION_NOT_FOUND' };
    await expect(bob.info(id)).rejects.toMatchObject(refused);
    await expect(bob.getState(id)).rejects.toMatchObject(refused);
    await expect(bob.setValue(id, 'secret', 2)).rejects.toMatchObject(refused);
    await expect(bob.callTool(id, 'increment')).rejects.toMatchObject(refused);
    await expect(bob.follow(id, () => {})).rejects.toMatchObject(refused);
    expect(await bob.close(id)).toBe(false);
    expect(await door.getState(id)).toEqual({ secret: 1 });
    await expect(bob.list({ all: true })).rejects.toMatchObject({ code: 'FORBIDDEN' });
    const seen = await house.door('root').list({ principal: 'token:alice' });
    expect(seen.sessions.map((session) => session.id)).toEqual([id]);
    expect((await house.door('root').list({ all: true })).sessions).toHaveLength(1);
  });

  test('S9 what cannot be a name is refused, and nothing is made of it', async () => {
    const door = await open();
    for (const name of ['../x', 'a\0b', 'x'.repeat(300), '.', '..', '', 'é'])
      await expect(door.create({ name })).rejects.toMatchObject({ code: 'SESSION_NAME_INVALID' });
    for (const ref of ['../x', 'a\0b', '..', '.', ''])
      await expect(door.info(ref)).rejects.toMatchObject({ code: 'SESSION_NAME_INVALID' });
    expect((await door.list()).sessions).toEqual([]);
  });

  // -- state -----------------------------------------------------------------------------------------------------

  test('G8 state lives over a restart, and defaults do not take its place', async () => {
    const door = await open({ ...counter, sessions: { state: { lang: 'en', depth: 1 } } });
    await door.create({ name: 'a' });
    expect(await door.getState('a')).toEqual({ lang: 'en', depth: 1 });
    await door.setValue('a', 'lang', 'de');
    await house.restart();
    expect(await house.door().getState('a')).toEqual({ lang: 'de', depth: 1 });
    expect(await house.door().deleteValue('a', 'depth')).toBe(true);
    expect(await house.door().deleteValue('a', 'depth')).toBe(false);
    await expect(house.door().getValue('a', 'depth')).rejects.toMatchObject({ code: 'STATE_NOT_FOUND' });
  });

  test('G9 what is given goes before what is stored, and that before the defaults; merging goes deep', async () => {
    const door = await open({ ...counter, sessions: { state: { lang: 'en', look: { dark: false } } } });
    await door.create({ name: 'a', state: { lang: 'fr' } });
    expect(await door.getState('a')).toEqual({ lang: 'fr', look: { dark: false } });
    await door.create({ name: 'b', state: { look: { font: { size: 2 } } } });
    expect(await door.getState('b')).toEqual({ lang: 'en', look: { dark: false, font: { size: 2 } } });
    await door.setValue('a', 'look', { size: { x: 1 } }, { merge: true });
    const merged = await door.setValue('a', 'look', { dark: true, size: { y: 2 } }, { merge: true });
    expect(merged.value).toEqual({ dark: true, size: { x: 1, y: 2 } });
    expect((await door.setValue('a', 'look', { dark: 1 })).value).toEqual({ dark: 1 });
    expect((await door.getValue('a', 'look')).value).toEqual({ dark: 1 });
  });

  test('a value is set in place of the version that is named, and of no other', async () => {
    const door = await open();
    await door.create({ name: 'a' });
    expect(await door.setValue('a', 'key', 1, { version: 0 })).toEqual({ value: 1, version: 1 });
    expect(await door.setValue('a', 'key', 2, { version: 1 })).toEqual({ value: 2, version: 2 });
    await expect(door.setValue('a', 'key', 3, { version: 1 })).rejects.toMatchObject({
      code: 'STATE_CONFLICT',
      message: '"key" is at version 2, not 1: somebody else changed it. Read it again, then set it.',
      details: { version: 2 },
    });
    await expect(door.deleteValue('a', 'key', { version: 1 })).rejects.toMatchObject({
      code: 'STATE_CONFLICT',
    });
    expect(await door.deleteValue('a', 'key', { version: 2 })).toBe(true);
  });

  test('T1 all levels are read together, and another user sees the app’s alone', async () => {
    const door = await open();
    const [bob, root] = [house.door('bob'), house.door('root')];
    await Promise.all([door.create({ name: 'a' }), bob.create({ name: 'b' }), root.create({ name: 'r' })]);
    await root.setValue('r', 'app:motto', 'be kind');
    await door.setValue('a', 'user:lang', 'de');
    await door.setValue('a', 'key', 1);
    await door.setValue('a', 'temp:draft', 'x');
    expect(await door.getState('a')).toEqual({
      'app:motto': 'be kind',
      'user:lang': 'de',
      key: 1,
      'temp:draft': 'x',
    });
    expect(await bob.getState('b')).toEqual({ 'app:motto': 'be kind' });
  });

  test('T8 only administrators write the app’s state, and a prefix that is none is refused', async () => {
    const door = await open();
    await door.create({ name: 'a' });
    await expect(door.setValue('a', 'app:key', 1)).rejects.toMatchObject({ code: 'FORBIDDEN' });
    await expect(door.deleteValue('a', 'app:key')).rejects.toMatchObject({ code: 'FORBIDDEN' });
    // Nor by a way round.
    const forged = { 'app:key': 1 };
    await expect(door.create({ state: forged })).rejects.toMatchObject({ code: 'FORBIDDEN' });
    await door.saveSnapshot('a', 'forged', forged);
    await expect(door.rollback('a', 'forged')).rejects.toMatchObject({ code: 'STATE_KEY_INVALID' });
    expect(await door.getState('a')).toEqual({});
    await expect(door.setValue('a', 'team:key', 1)).rejects.toMatchObject({ code: 'STATE_KEY_INVALID' });
    await expect(door.getValue('a', 'a b')).rejects.toMatchObject({ code: 'STATE_KEY_INVALID' });
    expect(await door.setValue('a', 'notes/2026/a.b-c', 1)).toEqual({ value: 1, version: 1 });
    expect(await door.getValue('a', 'notes/2026/a.b-c')).toEqual({ value: 1, version: 1 });
  });

  test('S5 what JSON cannot hold is refused with its place', async () => {
    const door = await open();
    await door.create({ name: 'a' });
    const wrong = (place: string, what: string) => ({
      code: 'STATE_VALUE_INVALID',
      message: `${place} is ${what}, which JSON cannot hold. Convert it first.`,
    });
    const set = (value: unknown) => door.setValue('a', 'key', value);
    await expect(set({ deep: [1, { fn: () => 1 }] })).rejects.toMatchObject(
      wrong('key.deep[1].fn', 'a function'),
    );
    await expect(set({ n: NaN })).rejects.toMatchObject(wrong('key.n', 'NaN'));
    await expect(set({ d: new Date() })).rejects.toMatchObject(wrong('key.d', 'a Date'));
    await expect(set(undefined)).rejects.toMatchObject(wrong('key', 'undefined'));
    await expect(door.saveSnapshot('a', 'snap', { m: new Map() })).rejects.toMatchObject(
      wrong('snap.m', 'a Map'),
    );
    const nested = { text: 'lone \ud800', list: [null, true, 1.5, { '': {} }] };
    await door.setValue('a', 'key', nested);
    expect((await door.getValue('a', 'key')).value).toEqual(nested);
  });

  test('S2 setting again keeps the session’s birth and raises the version', async () => {
    const door = await open();
    const { createdAt } = await door.create({ name: 'a' });
    const first = await door.setValue('a', 'key', 1);
    const second = await door.setValue('a', 'key', 1);
    expect(second.version).toBe(first.version + 1);
    expect((await door.info('a')).createdAt).toBe(createdAt);
  });

  test('S1 two modules come back as they were saved, and saving one keeps the other', async () => {
    const door = await open();
    await door.create({ name: 'a' });
    await door.saveSnapshot('a', 'memory', { facts: ['x'] });
    await door.saveSnapshot('a', 'planner', [1, 2]);
    expect(await door.saveSnapshot('a', 'planner', [3])).toMatchObject({ revision: 2, value: [3] });
    expect(await door.loadSnapshot('a', 'memory')).toMatchObject({ revision: 1, value: { facts: ['x'] } });
    expect(await door.loadSnapshot('a', 'planner')).toMatchObject({ value: [3] });
    expect(await door.loadSnapshot('a', 'planner', 1)).toMatchObject({ value: [1, 2] });
    expect((await door.listSnapshots('a')).map(({ name, revision }) => [name, revision])).toEqual([
      ['memory', 1],
      ['planner', 2],
    ]);
    expect(await door.listSnapshots('a', 'planner')).toHaveLength(2);
  });

  test('S4 a key that is missing is left out where all are read, and is an error by itself', async () => {
    const door = await open();
    await door.create({ name: 'a' });
    expect(await door.getState('a')).toEqual({});
    expect(await door.loadSnapshot('a', 'none')).toBeNull();
    await expect(door.getValue('a', 'none')).rejects.toMatchObject({
      code: 'STATE_NOT_FOUND',
      message: 'There is no "none" in the state of session "a".',
    });
    await expect(door.rollback('a', 'none')).rejects.toMatchObject({ code: 'STATE_NOT_FOUND' });
  });

  test('S15 rolling back makes the state what it was in that revision', async () => {
    const door = await open();
    await door.create({ name: 'a', state: { step: 1 } });
    await door.saveSnapshot('a', 'before');
    await door.setValue('a', 'step', 2);
    await door.setValue('a', 'more', true);
    await door.saveSnapshot('a', 'before');
    await door.deleteValue('a', 'step');
    expect(await door.rollback('a', 'before')).toEqual({ step: 2, more: true });
    expect(await door.rollback('a', 'before', 1)).toEqual({ step: 1 });
    expect(await door.getState('a')).toEqual({ step: 1 });
  });

  // -- events ----------------------------------------------------------------------------------------------------

  test('T4 reads the last n oldest first, and since a time with that time included', async () => {
    const door = await open();
    await door.create({ name: 'a' });
    for (let i = 0; i < 5; i++) {
      await door.setValue('a', 'key', i);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    const all = await door.events('a');
    expect(all.map(({ seq }) => seq)).toEqual([1, 2, 3, 4, 5, 6]);
    expect((await door.events('a', { last: 2 })).map(({ seq }) => seq)).toEqual([5, 6]);
    expect((await door.events('a', { last: 0 })).map(({ seq }) => seq)).toEqual([]);
    const third = all[2];
    const since = await door.events('a', { since: ms(third?.at ?? null) });
    expect(since.map(({ seq }) => seq)).toEqual([3, 4, 5, 6]);
    expect((await door.events('a', { after: 4 })).map(({ seq }) => seq)).toEqual([5, 6]);
  });

  test('T5 keeps as many events as configured, the oldest gone', async () => {
    const door = await open({ ...counter, sessions: { events: { keep: 10 } } });
    await door.create({ name: 'a' });
    for (let i = 0; i < 15; i++) await door.setValue('a', 'key', i);
    expect((await door.events('a')).map(({ seq }) => seq)).toEqual([7, 8, 9, 10, 11, 12, 13, 14, 15, 16]);
  });

  test('T11 calls are recorded with their outcome, numbered, and followed as they happen', async () => {
    const door = await open();
    await door.create({ name: 'a' });
    const followed: EventView[] = [];
    const stop = await door.follow('a', (event) => followed.push(event));
    await door.callTool('a', 'echo', { text: 'x', password: 'hidden' });
    await door.callTool('a', 'nothing').catch(() => {});
    await door.setValue('a', 'key', 1);
    await until(() => followed.length === 4);
    const recorded = await door.events('a');
    expect(recorded.slice(1)).toEqual(followed);
    expect(recorded.map(({ seq }) => seq)).toEqual([1, 2, 3, 4, 5]);
    expect(recorded.map(({ type, data }) => [type, data.tool ?? data.key ?? data.to, data.ok])).toEqual([
      ['created', undefined, undefined],
      ['state', 'active', undefined],
      ['call', 'echo', true],
      ['call', 'nothing', false],
      ['state set', 'key', undefined],
    ]);
    expect(recorded[2]?.data.arguments).toEqual({ text: 'x', password: '[redacted]' });
    stop();
    await door.setValue('a', 'key', 2);
    await door.events('a');
    expect(followed).toHaveLength(4);
  });

  test('T11 what was and what happens are followed without a gap and none twice', async () => {
    const door = await open();
    await door.create({ name: 'a' });
    const writing = (async () => {
      for (let i = 0; i < 150; i++) await door.setValue('a', 'key', i);
    })();
    const seen: number[] = [];
    await until(async () => (await door.events('a')).length > 20);
    const stop = await tail(door, 'a', { after: 5 }, ({ seq }) => seen.push(seq));
    await writing;
    await until(() => seen.at(-1) === 151);
    stop();
    expect(seen).toEqual(Array.from({ length: 146 }, (_, index) => index + 6));
  });

  test('a session is followed also after it has been idle for long', async () => {
    const door = await open({ ...counter, sessions: { ttl: '1s' } });
    await door.create({ name: 'a' });
    const seen: number[] = [];
    const stop = await door.follow('a', ({ seq }) => seen.push(seq));
    await new Promise((resolve) => setTimeout(resolve, 1100));
    await house.door('root').collect();
    await door.setValue('a', 'key', 1);
    await until(() => seen.length === 1);
    stop();
  });

  test('a follower that fails disturbs nobody', async () => {
    const door = await open();
    await door.create({ name: 'a' });
    const heard: number[] = [];
    const stops = [
      await door.follow('a', () => {
        throw new Error('on purpose');
      }),
      await door.follow('a', ({ seq }) => heard.push(seq)),
    ];
    await door.setValue('a', 'key', 1);
    await door.setValue('a', 'key', 2);
    await until(() => heard.length === 2);
    stops.forEach((stop) => stop());
  });

  test('what is too large for an event is followed as it is kept', async () => {
    const door = await open();
    await door.create({ name: 'a' });
    const followed: EventView[] = [];
    const stop = await door.follow('a', (event) => followed.push(event));
    await door.callTool('a', 'echo', { parts: Array.from({ length: 2000 }, () => 'x'.repeat(50)) });
    await until(() => followed.length === 2);
    stop();
    expect(followed[1]?.data).toEqual({
      length: expect.any(Number) as number,
      sha256: expect.stringMatching(/^[0-9a-f]{64}$/) as string,
    });
    expect((await door.events('a')).slice(1)).toEqual(followed);
  });

  test('T14 a track of one’s own is numbered and kept for itself', async () => {
    const door = await open();
    await door.create({ name: 'a' });
    await door.appendEvent('a', 'notes', 'note', { text: 'one' });
    await door.appendEvent('a', 'notes', 'note', { text: 'two' });
    expect(await door.events('a', { track: 'notes' })).toMatchObject([
      { seq: 1, type: 'note', data: { text: 'one' } },
      { seq: 2, type: 'note', data: { text: 'two' } },
    ]);
    expect((await door.events('a')).map(({ type }) => type)).toEqual(['created']);
  });
});
