import { expect, test } from 'vitest';
import { setLogLevel } from '../../src/logger.js';
import { slow } from '../support/fake-server.js';
import { codeOf, FakeClient, principal, World } from '../support/world.js';

setLogLevel('silent');

const HOUR = 3_600_000;

test('P6 a client that opens sessions without end keeps the newest, and its named and running ones', async () => {
  using world = new World({ sessions: { maxKept: 4 } });
  const named = world.session('work');
  const running = world.session();
  await running.request(new FakeClient().call('x'));
  const made = Array.from({ length: 10 }, () => {
    world.clock.jump(1000);
    return world.session();
  });
  const kept = world.manager.list({ limit: 100 }).map(({ id }) => id);
  expect(new Set(kept)).toEqual(new Set([named.id, running.id, ...made.slice(-2).map(({ id }) => id)]));
  expect(world.manager.byId(made[0]?.id ?? '')).toBeUndefined();
  expect(world.manager.create({ id: 'other', admin: false }).state).toBe('idle');
});

test('P6 where every kept session has a name the next one is refused, and told which limit it is', () => {
  using world = new World({ sessions: { maxKept: 2 } });
  world.session('a');
  world.session('b');
  expect(() => world.manager.create(principal)).toThrow(
    'There are 2 sessions (sessions.maxKept), and all have a name or servers. Close some.',
  );
});

test('P6 beyond sessions.maxCalls a session takes no more requests until some have ended', async () => {
  using world = new World({ sessions: { maxCalls: 2 }, manners: slow });
  const session = world.session();
  const client = new FakeClient();
  const calls = [session.request(client.call('x')), session.request(client.call('x'))];
  const server = await world.started();
  const requests = [await server.request('tools/call', 1), await server.request('tools/call', 2)];
  expect(codeOf(await session.request(client.call('x')))).toBe('TOO_MANY_REQUESTS');
  for (const request of requests) server.answer(request, { content: [] });
  expect((await Promise.all(calls)).map(codeOf)).toEqual([undefined, undefined]);
  const again = session.request(client.call('x'));
  server.answer(await server.request('tools/call', 3), { content: [] });
  expect(codeOf(await again)).toBeUndefined();
});

test('P6 a server that asks without end gets an error beyond sessions.maxQuestions', async () => {
  using world = new World({ sessions: { maxQuestions: 2 }, manners: slow });
  const client = new FakeClient({ elicitation: {} });
  void world.session().request(client.call('x'));
  const server = await world.started();
  await server.request('tools/call');
  for (const id of [1, 2, 3]) server.say({ jsonrpc: '2.0', id, method: 'elicitation/create', params: {} });
  await client.wasAsked(2);
  expect(client.asked).toHaveLength(2);
  expect(await server.message((message) => 'error' in message && message.id === 3)).toMatchObject({
    error: { data: { code: 'TOO_MANY_REQUESTS' } },
  });
  client.asked[0]?.answer({ result: { action: 'decline' } });
  await world.committed();
  server.say({ jsonrpc: '2.0', id: 4, method: 'elicitation/create', params: {} });
  expect(client.asked).toHaveLength(3);
});

test('M21 the sweep closes resting sessions that are due, and leaves the others alone', async () => {
  using world = new World({ sessions: { ttl: HOUR, maxAge: 24 * HOUR } });
  const [closes, pauses] = [world.session('closes'), world.session('pauses')];
  closes.configure({ onTimeout: 'close' });
  await world.committed();
  world.clock.jump(HOUR + 1);
  await world.manager.sweep();
  expect([closes.state, pauses.state]).toEqual(['closed', 'idle']);
  world.clock.jump(24 * HOUR);
  await world.manager.sweep();
  expect(world.manager.byId(pauses.id)?.state).toBe('closed');
});

test('G4 a paused session whose time to live ends in closing is closed by the sweep, without a request', async () => {
  using world = new World({ sessions: { ttl: HOUR, onTimeout: 'close' } });
  const session = world.session('work');
  await session.request(new FakeClient().call('x'));
  await session.pause('by hand');
  await world.committed();
  world.clock.jump(HOUR + 1);
  await world.manager.sweep();
  expect(world.manager.byId(session.id)?.state).toBe('closed');
  expect(world.manager.byName(principal.id, 'work')).toBeUndefined();
});

test('T10 values are deleted when nobody changed them for the time of their level, and the session stays', async () => {
  const stateTtl = { user: HOUR, session: 2 * HOUR };
  using world = new World({ sessions: { ttl: 100 * HOUR, stateTtl } });
  const { values } = world.session('work');
  for (const key of ['app:a', 'user:u', 'own']) values.set(key, 1);
  const after = async (hours: number) => {
    world.clock.jump(hours * HOUR + 1);
    await world.manager.sweep();
    return Object.keys(values.all());
  };
  expect(await after(1)).toEqual(['app:a', 'own']);
  expect(await after(1)).toEqual(['app:a']);
  expect(world.manager.byName(principal.id, 'work')?.state).toBe('idle');
});

test('P3 clients that come for one call each leave memory, then the store, and whoever comes back in time is known', async () => {
  using world = new World({ sessions: { ttl: 100 * HOUR, retention: 24 * HOUR } });
  const session = world.session('work');
  const { client } = new FakeClient();
  const [gone, back] = [1, 2].map(() => world.attachments.attach(session, client, false).attachment);
  await world.clock.advance(HOUR);
  await world.manager.sweep();
  expect(session.clients.attachments.size).toBe(0);
  session.refresh();
  await world.committed();
  expect(world.attachments.find(back?.key ?? '', principal)?.session).toBe(session);
  world.clock.jump(23.5 * HOUR);
  await world.manager.sweep();
  expect(world.attachments.find(gone?.key ?? '', principal)).toBeUndefined();
  expect(world.attachments.find(back?.key ?? '', principal)?.session.id).toBe(session.id);
});
