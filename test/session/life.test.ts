import { expect, test } from 'vitest';
import { ProxyError } from '../../src/errors.js';
import { setLogLevel } from '../../src/logger.js';
import { slow, text } from '../support/fake-server.js';
import { codeOf, FakeClient, lostIn, said, World } from '../support/world.js';

setLogLevel('silent');

const MINUTE = 60_000;

test('fifty first calls at once start the server once', async () => {
  using world = new World();
  const session = world.session();
  const client = new FakeClient();
  const outcomes = await Promise.all(Array.from({ length: 50 }, () => session.request(client.call('x'))));
  expect(world.starts).toBe(1);
  expect(new Set(outcomes.map(said))).toEqual(new Set(['1 x']));
});

test('each session has a server of its own', async () => {
  using world = new World();
  const client = new FakeClient();
  const [a, b] = [world.session(), world.session()];
  await Promise.all([a.request(client.call('x')), b.request(client.call('x'))]);
  expect(world.connections.map(({ context }) => context.variables['session.id'])).toEqual([a.id, b.id]);
});

test('a session is idle before its first call, active after it and paused when its time is over', async () => {
  using world = new World({ sessions: { ttl: 30 * MINUTE } });
  const session = world.session();
  expect(session.state).toBe('idle');
  await session.request(new FakeClient().call('x'));
  expect(session.state).toBe('active');
  await world.committed();
  expect(world.store.sessions.get(session.id)).toMatchObject({ state: 'active', instance: 'this proxy' });
  await world.clock.advance(29 * MINUTE);
  await world.manager.sweep();
  expect(session.state).toBe('active');
  await world.clock.advance(2 * MINUTE);
  await world.connection().closed;
  expect(session.state).toBe('paused');
  await world.committed();
  expect(world.store.sessions.get(session.id)).toMatchObject({ state: 'paused', instance: null });
});

test('the call after a pause starts generation 2, and the loss is told once', async () => {
  using world = new World({ sessions: { ttl: MINUTE } });
  const session = world.session();
  const client = new FakeClient();
  expect(lostIn(await session.request(client.call('x')))).toBeUndefined();
  await world.clock.advance(2 * MINUTE);
  await world.connection().closed;

  const outcome = await session.request(client.call('x'));
  expect(said(outcome)).toBe(
    '[mcp-session-proxy] Server "one" was stopped because the session had been idle and was started anew for ' +
      'this call: what it kept in memory (open pages, logins, variables, transactions) is lost, and earlier ' +
      'references into it are invalid.\n2 x',
  );
  expect(lostIn(outcome)).toEqual([
    { server: 'one', reason: 'was stopped because the session had been idle' },
  ]);
  const next = await session.request(client.call('x'));
  expect([said(next), lostIn(next)]).toEqual(['2 x', undefined]);
});

test('looking at a session does not refresh it, each request does', async () => {
  using world = new World({ sessions: { ttl: 10 * MINUTE } });
  const session = world.session('work');
  const client = new FakeClient();
  for (let i = 0; i < 5; i++) {
    await session.request(client.call('x'));
    await world.clock.advance(9 * MINUTE);
  }
  expect(world.running).toHaveLength(1);
  expect(world.session('work')).toBe(session);
  session.describe();
  await world.clock.advance(2 * MINUTE);
  await world.connection().closed;
});

test('a call in flight holds the session, and its end begins the time anew', async () => {
  using world = new World({
    sessions: { ttl: MINUTE },
    servers: { one: { timeouts: { call: '1d' } } },
    manners: slow,
  });
  const session = world.session();
  const outcome = session.request(new FakeClient().call('x'));
  const request = await (await world.started()).request();
  await world.clock.advance(60 * MINUTE);
  await world.manager.sweep();
  expect([session.state, world.running.length]).toEqual(['active', 1]);
  world.connection().answer(request, text('done'));
  expect(said(await outcome)).toBe('done');
  await world.clock.advance(MINUTE / 2);
  await world.manager.sweep();
  expect(session.state).toBe('active');
  await world.clock.advance(MINUTE);
  await world.connection().closed;
});

test('the deadline holds at the next request, also when no sweep has come by', async () => {
  using world = new World({ sessions: { ttl: MINUTE } });
  const session = world.session();
  const client = new FakeClient();
  await session.request(client.call('x'));
  world.clock.jump(MINUTE);
  const outcome = await session.request(client.call('x'));
  expect(lostIn(outcome)).toEqual([
    { server: 'one', reason: 'was stopped because the session had been idle' },
  ]);
  expect(world.connection(1).isClosed).toBe(true);
  expect(session.state).toBe('active');
});

test('a session that is closed stops its server, and what is asked of it then is refused', async () => {
  using world = new World();
  const session = world.session();
  const client = new FakeClient();
  await session.request(client.call('x'));
  await world.manager.close(session, 'was stopped by the test');
  expect([session.state, world.connection().isClosed]).toEqual(['closed', true]);
  const outcome = await session.request(client.call('x'));
  expect(codeOf(outcome)).toBe('SESSION_CLOSED');
  expect(said(outcome)).toContain(`Session ${session.id} is closed.`);
  expect(world.starts).toBe(1);
});

test('closing waits for a server that is just being started', async () => {
  using world = new World();
  let closed: Promise<void> | undefined;
  const session = world.session();
  world.starting = () => {
    closed = world.manager.close(session, 'was stopped by the test');
    return Promise.resolve();
  };
  const request = session.request(new FakeClient().call('x'));
  await expect(request).rejects.toMatchObject({ code: 'CALL_CANCELLED' });
  await closed;
  expect(world.connection().isClosed).toBe(true);
});

test('a server that cannot be started puts the session in error, and the next call tries again', async () => {
  using world = new World();
  const session = world.session();
  const client = new FakeClient();
  world.broken = new ProxyError('SERVER_UNAVAILABLE', 'Server "one" cannot be started: nothing works.');
  const failed = await session.request(client.call('x'));
  expect(failed).toEqual({
    result: {
      content: [{ type: 'text', text: 'Server "one" cannot be started: nothing works.' }],
      isError: true,
      _meta: { 'mcp-session-proxy/error': 'SERVER_UNAVAILABLE' },
    },
  });
  expect(session.state).toBe('error');
  world.broken = undefined;
  expect(said(await session.request(client.call('x')))).toBe('1 x');
  expect(session.state).toBe('active');
});

test('a request that is no tool call fails as a JSON-RPC error', async () => {
  using world = new World();
  world.broken = new ProxyError('SERVER_UNAVAILABLE', 'Not today.');
  expect(await world.session().request(new FakeClient().exchange('prompts/get', { name: 'p' }))).toEqual({
    error: { code: -32603, message: 'Not today.', data: { code: 'SERVER_UNAVAILABLE' } },
  });
});

test('an unknown tool is a protocol error and starts nothing', async () => {
  using world = new World({ servers: { one: {}, two: {} } });
  const outcome = await world.session().request(new FakeClient().call('three__x'));
  expect(outcome).toMatchObject({ error: { code: -32602, data: { code: 'TOOL_NOT_FOUND' } } });
  expect(world.starts).toBe(0);
});

test('when the proxy stops all sessions are paused and their servers gone', async () => {
  using world = new World();
  const client = new FakeClient();
  const sessions = [world.session(), world.session(), world.session()];
  for (const session of sessions) await session.request(client.call('x'));
  await world.manager.stop('was stopped with the proxy');
  expect(world.running).toEqual([]);
  expect(sessions.map(({ state }) => state)).toEqual(['paused', 'paused', 'paused']);
  expect(world.clock.pending).toBe(0);
});

test('the next proxy on the same store finds the sessions, and tells what was lost', async () => {
  using before = new World();
  const session = before.session('work');
  await session.request(new FakeClient().call('x'));
  await before.manager.stop('was stopped with the proxy');
  await before.committed();

  const after = new World({ store: before.store, instance: 'next proxy' });
  const again = after.session('work');
  expect(again.id).toBe(session.id);
  const outcome = await again.request(new FakeClient().call('x'));
  expect(lostIn(outcome)).toEqual([{ server: 'one', reason: 'was stopped with the proxy' }]);
});

test('old sessions are deleted when their time of retention is over', async () => {
  using world = new World({ sessions: { ttl: MINUTE, retention: 10 * MINUTE } });
  const session = world.session('work');
  await session.request(new FakeClient().call('x'));
  await world.clock.advance(2 * MINUTE);
  await world.connection().closed;
  await world.committed();
  await world.clock.advance(11 * MINUTE);
  await world.manager.sweep();
  expect(world.store.sessions.get(session.id)).toBeUndefined();
  expect(world.session('work').id).not.toBe(session.id);
});
