import { expect, test } from 'vitest';
import type { Principal } from '../../src/auth/principal.js';
import { setLogLevel } from '../../src/logger.js';
import { PROXY_PROFILE } from '../../src/protocol/client.js';
import { FakeClient, lostIn, said, World } from '../support/world.js';

setLogLevel('silent');

const ann: Principal = { id: 'ann', admin: false };
const bob: Principal = { id: 'bob', admin: false };

/** Two sessions of Ann and one of Bob, each after one call. */
async function threeSessions(world: World) {
  const client = new FakeClient({ roots: {} });
  const sessions = [world.manager.create(ann), world.manager.create(ann), world.manager.create(bob)] as const;
  for (const session of sessions) await session.request(client.call('x'));
  return { client, sessions };
}

test('scope session: each session has a connection of its own', async () => {
  using world = new World();
  await threeSessions(world);
  expect(world.starts).toBe(3);
});

test('scope principal: the sessions of a principal share one', async () => {
  using world = new World({ servers: { one: { scope: 'principal' } } });
  await threeSessions(world);
  expect(world.starts).toBe(2);
  const owners = world.connections.map(({ context }) => context.variables['session.id']);
  expect(new Set(owners).size).toBe(2);
  for (const owner of owners) expect(owner).toMatch(/^principal-[0-9a-f]{16}$/);
});

test('scope shared: everybody shares one, which is told of no client', async () => {
  using world = new World({ servers: { one: { scope: 'shared' } } });
  await threeSessions(world);
  expect(world.starts).toBe(1);
  expect(world.connection().context).toMatchObject({
    client: PROXY_PROFILE,
    variables: { 'session.dir': '/folders/shared', 'session.id': 'shared', 'session.name': 'shared' },
  });
});

test('scope call: each call has a fresh one, which is gone when it is answered', async () => {
  using world = new World({ servers: { one: { scope: 'call' } } });
  const session = world.session();
  const client = new FakeClient();
  const outcomes = await Promise.all([1, 2, 3].map(() => session.request(client.call('x'))));
  expect(outcomes.map(said).sort()).toEqual(['1 x', '2 x', '3 x']);
  expect(outcomes.map(lostIn)).toEqual([undefined, undefined, undefined]);
  expect(world.running).toEqual([]);
});

test('a session’s own server knows its client, its folder and its name', async () => {
  using world = new World();
  const session = world.session('work');
  const client = new FakeClient({ roots: {} });
  await session.request(client.call('x'));
  expect(world.connection().context).toMatchObject({
    client: client.client,
    variables: {
      'session.dir': `/folders/${session.id}`,
      'session.id': session.id,
      'session.name': 'work',
    },
  });
});

test('a session without name goes by its id', async () => {
  using world = new World();
  const session = world.session();
  await session.request(new FakeClient().call('x'));
  expect(world.connection().context.variables['session.name']).toBe(session.id);
});

test.each(['principal', 'shared'])(
  'scope %s: the server stops when the last session leaves it',
  async (scope) => {
    using world = new World({ servers: { one: { scope } } });
    const client = new FakeClient();
    const [first, second] = [world.manager.create(ann), world.manager.create(ann)];
    for (const session of [first, second]) await session.request(client.call('x'));
    await world.manager.close(first, 'was stopped by the test');
    expect(said(await second.request(client.call('x')))).toBe('1 x');
    await world.manager.close(second, 'was stopped by the test');
    expect(world.connection().isClosed).toBe(true);
  },
);

test('the loss of a shared server is told to each of its sessions once', async () => {
  using world = new World({ servers: { one: { scope: 'shared' } } });
  const { client, sessions } = await threeSessions(world);
  world.connection().die('exited with code 9');
  for (const session of sessions) {
    const outcomes = [await session.request(client.call('x')), await session.request(client.call('x'))];
    expect(outcomes.map(lostIn)).toEqual([[{ server: 'one', reason: 'exited with code 9' }], undefined]);
  }
});

test('what a shared server tells of one resource reaches the sessions that subscribed to it', async () => {
  using world = new World({ servers: { one: { scope: 'shared' } } });
  const clients = [new FakeClient(), new FakeClient(), new FakeClient()];
  const sessions = clients.map((client) => {
    const session = world.session();
    world.attachments.attach(session, client.client, true).attachment.outlet = client;
    return session;
  });
  for (const [index, session] of sessions.entries()) {
    const client = clients[index];
    await session.request((client ?? new FakeClient()).exchange('resources/read', { uri: 'file:///a' }));
  }
  const [subscriber] = clients;
  if (!subscriber) throw new Error('nobody');
  await sessions[0]?.request(subscriber.exchange('resources/subscribe', { uri: 'file:///a' }));
  const server = world.connection();
  const updated = {
    jsonrpc: '2.0' as const,
    method: 'notifications/resources/updated',
    params: { uri: 'file:///a' },
  };
  const changed = { jsonrpc: '2.0' as const, method: 'notifications/tools/list_changed' };
  const private_ = { jsonrpc: '2.0' as const, method: 'notifications/message', params: { data: 'secret' } };
  for (const notification of [updated, changed, private_]) server.say(notification);
  expect(clients.map(({ heard }) => heard)).toEqual([[updated, changed], [changed], [changed]]);
});

test('what a shared server asks outside a call is asked of nobody while several use it', async () => {
  using world = new World({ servers: { one: { scope: 'shared' } } });
  const { sessions } = await threeSessions(world);
  const client = new FakeClient({ sampling: {} });
  for (const session of sessions)
    world.attachments.attach(session, client.client, true).attachment.outlet = client;
  const server = world.connection();
  server.say({ jsonrpc: '2.0', id: 'q', method: 'sampling/createMessage', params: {} });
  expect(await server.message((message) => !('method' in message) && message.id === 'q')).toEqual({
    jsonrpc: '2.0',
    id: 'q',
    error: { code: -32601, message: 'The client of this session cannot answer sampling/createMessage.' },
  });
  expect(client.asked).toEqual([]);
});
